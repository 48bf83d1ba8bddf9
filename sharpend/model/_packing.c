/* Passes over the pixels of one window before and after a network's convolutions.

   Each function fills the arrays that it is given, and equals the function of this name in
   plain_packing.py bit for bit: sums are of whole numbers, and every operation on float32 is
   rounded by itself (-ffp-contract=off). The text there says what each array is. Nothing depends
   on the place or the size of a window. Arrays are C-contiguous; rows of `pixels` and `out` may
   lie further apart. Sizes and types are checked here, so that a wrong call is an error. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compiled/cells.h"
#include "compiled/survey.h"
#include "compiled/change.h"
#include "compiled/finish.h"
#include "compiled/luma.h"

/* With depth and channels as constants the compiler unrolls the cells. */
#define BY_KIND(pixels, call)                                                                      \
    do {                                                                                           \
        Pixels of = *(pixels);                                                                     \
        if (of.depth == 1 && of.channels == 3) {                                                   \
            of.depth = 1, of.channels = 3;                                                         \
            call;                                                                                  \
        } else if (of.depth == 1) {                                                                \
            of.depth = 1, of.channels = 1;                                                         \
            call;                                                                                  \
        } else if (of.channels == 3) {                                                             \
            of.depth = 2, of.channels = 3;                                                         \
            call;                                                                                  \
        } else {                                                                                   \
            of.depth = 2, of.channels = 1;                                                         \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

PASS void survey_pass(
    const Pixels *pixels, const Survey *lines, int32_t *sums, uint16_t *lowest, uint16_t *highest
) {
    BY_KIND(pixels, survey_all(&of, lines, sums, lowest, highest));
}

PASS void pack_pass(
    const Pixels *pixels, const int32_t *sums, int is_half, int32_t *lines, void *folded
) {
    if (is_half)
        BY_KIND(pixels, pack_all(&of, sums, 1, lines, folded));
    else
        BY_KIND(pixels, pack_all(&of, sums, 0, lines, folded));
}

PASS void gates_pass(
    const float *mask, Py_ssize_t rows, Py_ssize_t columns, float floor, float *energies, float *gate
) {
    gates_all(mask, rows, columns, floor, energies, energies + rows * columns, gate);
}

PASS void sum_pass(const Pixels *pixels, const Change *change, float *lines, int32_t *sums) {
    Change how = *change;
    if (how.is_half) {
        how.is_half = 1;
        BY_KIND(pixels, sum_all(&of, &how, lines, sums));
    } else {
        how.is_half = 0;
        BY_KIND(pixels, sum_all(&of, &how, lines, sums));
    }
}

WIDE_PASS void bands_pass(const Pixels *pixels, const Bands *bands) {
    BY_KIND(pixels, bands_all(&of, bands));
}

WIDE_PASS void mask_pass(const Pixels *pixels, const Mask *how) {
    BY_KIND(pixels, mask_all(&of, how));
}

PASS void means_pass(
    const int32_t *sums, Py_ssize_t rows, Py_ssize_t columns, int channels, float scale,
    int32_t *tall, float *means
) {
    means_all(sums, rows, columns, channels, scale, tall, means);
}

PASS void finish_pass(
    const Pixels *pixels, const Change *change, const Finish *finish, const Lines *lines
) {
    Change how = *change;
    if (how.is_half) {
        how.is_half = 1;
        BY_KIND(pixels, finish_all(&of, &how, finish, lines));
    } else {
        how.is_half = 0;
        BY_KIND(pixels, finish_all(&of, &how, finish, lines));
    }
}

/* H x W x C values of one or two bytes, their rows anywhere; rows and columns are of pixels. */
static int take_values(PyObject *array, int flags, Py_buffer *view, Pixels *pixels) {
    if (PyObject_GetBuffer(array, view, PyBUF_STRIDES | flags) < 0)
        return -1;
    const Py_ssize_t *shape = view->shape, *strides = view->strides;
    if (view->ndim == 3 && shape[0] && shape[1] && (shape[2] == 1 || shape[2] == COLOURS) &&
        (view->itemsize == 1 || view->itemsize == 2) && strides[2] == view->itemsize &&
        strides[1] == shape[2] * view->itemsize) {
        *pixels = (Pixels){view->buf, strides[0], shape[0], shape[1], (int)shape[2],
                           (int)view->itemsize};
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "pixels are H x W x 1 or 3 of 8 or 16 bits");
    return -1;
}

/* The same in whole cells; rows and columns are of cells. */
static int take_pixels(PyObject *array, int flags, Py_buffer *view, Pixels *pixels) {
    if (take_values(array, flags, view, pixels) < 0)
        return -1;
    if (pixels->rows % SIDE == 0 && pixels->columns % SIDE == 0) {
        pixels->rows /= SIDE, pixels->columns /= SIDE;
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "pixels do not come in whole cells");
    return -1;
}

static int has(const Py_buffer *view, Py_ssize_t values, Py_ssize_t bytes) {
    if (view->buf == NULL || view->len == values * bytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes is not %zd values", view->len, values);
    return 0;
}

/* The arrays of a change, which belong to so many cells. */
static int take_change(
    const Py_buffer *detail, const Py_buffer *calm, const Py_buffer *mask, const Py_buffer *gate,
    float scale, Py_ssize_t cells, Change *change
) {
    const int is_half = detail->len == cells * CELL * COLOURS * 2;
    *change = (Change){detail->buf, is_half, calm->buf, mask->buf, gate->buf, scale};
    if (!mask->buf != !gate->buf) {
        PyErr_SetString(PyExc_ValueError, "mask and gate come together");
        return 0;
    }
    return (is_half || has(detail, cells * CELL * COLOURS, 4)) && has(calm, cells, 4) &&
           has(mask, cells * CELL, 4) && has(gate, cells, 4);
}

static void *room(Py_ssize_t values) {
    void *made = malloc(4 * (size_t)values);
    if (made == NULL)
        PyErr_NoMemory();
    return made;
}

static PyObject *nothing_unless_failed(void) {
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *survey(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Py_buffer view, sums, lowest, highest;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "Ow*w*w*", &array, &sums, &lowest, &highest))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t values = pixels.rows * pixels.columns * pixels.channels;
        const Py_ssize_t wide = pixels.columns * pixels.channels * SIDE;
        Survey lines;
        if (has(&sums, values, 4) && has(&lowest, values, 2) && has(&highest, values, 2) &&
            (lines.sums = room(2 * wide)) != NULL) {
            lines.lowest = (uint16_t *)(lines.sums + wide), lines.highest = lines.lowest + wide;
            Py_BEGIN_ALLOW_THREADS;
            survey_pass(&pixels, &lines, sums.buf, lowest.buf, highest.buf);
            Py_END_ALLOW_THREADS;
            free(lines.sums);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&lowest);
    PyBuffer_Release(&highest);
    return nothing_unless_failed();
}

static PyObject *pack(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Py_buffer view, sums, folded;
    int32_t *lines;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "Oz*w*", &array, &sums, &folded))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns;
        const int is_half = folded.len == cells * CELL * COLOURS * 2;
        if (has(&sums, cells * pixels.channels, 4) &&
            (is_half || has(&folded, cells * CELL * COLOURS, 4)) &&
            (lines = room(2 * (pixels.columns + 1) * pixels.channels)) != NULL) {
            Py_BEGIN_ALLOW_THREADS;
            pack_pass(&pixels, sums.buf, is_half, lines, folded.buf);
            Py_END_ALLOW_THREADS;
            free(lines);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&folded);
    return nothing_unless_failed();
}

static PyObject *mask(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Mask how;
    Py_buffer view, taps, made;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "O(fff)y*(fff)w*", &array, how.weights, how.weights + 1, how.weights + 2,
            &taps, how.gains, how.gains + 1, how.gains + 2, &made))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t wide = SIDE * pixels.columns, width = wide + 2 * BAND_REACH;
        if (has(&taps, BANDS * (BAND_REACH + 1), 4) &&
            has(&made, pixels.rows * pixels.columns * CELL, 4) &&
            (how.ring = room((RING + BANDS) * width + (BANDS + 1) * wide)) != NULL) {
            how.tall = how.ring + RING * width, how.lines = how.tall + BANDS * width;
            how.taps = taps.buf, how.made = made.buf;
            Py_BEGIN_ALLOW_THREADS;
            mask_pass(&pixels, &how);
            Py_END_ALLOW_THREADS;
            free(how.ring);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&taps);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static PyObject *gates(PyObject *self, PyObject *arguments) {
    Py_ssize_t rows, columns;
    Py_buffer mask, gate;
    float floor, *energies;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*(nn)fw*", &mask, &rows, &columns, &floor, &gate))
        return NULL;
    if (rows > 0 && columns > 0 && has(&mask, rows * columns * CELL, 4) &&
        has(&gate, rows * columns, 4) && (energies = room((rows + 1) * columns + 2)) != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        gates_pass(mask.buf, rows, columns, floor, energies, gate.buf);
        Py_END_ALLOW_THREADS;
        free(energies);
    }
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    return nothing_unless_failed();
}

static PyObject *sum(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Change change;
    Py_buffer view, detail, calm, mask, gate, sums;
    float scale, *lines;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "Oy*z*z*z*fw*", &array, &detail, &calm, &mask, &gate, &scale, &sums))
        return NULL;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns;
        if (take_change(&detail, &calm, &mask, &gate, scale, cells, &change) &&
            has(&sums, cells * pixels.channels, 4) &&
            (lines = room((pixels.columns + LINE_EDGES) * SIDE)) != NULL) {
            Py_BEGIN_ALLOW_THREADS;
            sum_pass(&pixels, &change, lines, sums.buf);
            Py_END_ALLOW_THREADS;
            free(lines);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&detail);
    PyBuffer_Release(&calm);
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    PyBuffer_Release(&sums);
    return nothing_unless_failed();
}

static PyObject *means(PyObject *self, PyObject *arguments) {
    Py_ssize_t rows, columns;
    int channels;
    Py_buffer sums, made;
    float scale;
    int32_t *tall;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "y*(nni)fw*", &sums, &rows, &columns, &channels, &scale, &made))
        return NULL;
    if (rows > 0 && columns > 0 && channels > 0 && has(&sums, rows * columns * channels, 4) &&
        has(&made, rows * columns * channels, 4) && (tall = room((columns + 2 * REACH) * channels)) != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        means_pass(sums.buf, rows, columns, channels, scale, tall, made.buf);
        Py_END_ALLOW_THREADS;
        free(tall);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static int fits(const Pixels *pixels, const Finish *finish) {
    const Pixels *out = &finish->out;
    if (out->depth == pixels->depth && out->channels == pixels->channels && finish->top >= 0 &&
        finish->left >= 0 && finish->top <= pixels->rows - out->rows &&
        finish->left <= pixels->columns - out->columns && finish->margin >= 0 &&
        finish->margin <= UINT16_MAX)
        return 1;
    PyErr_SetString(PyExc_ValueError, "the output is no part of the pixels");
    return 0;
}

static PyObject *finish(PyObject *self, PyObject *arguments) {
    PyObject *array, *output;
    Pixels pixels;
    Change change;
    Finish how;
    Py_buffer view, to, detail, calm, mask, gate, shifts, lowest, highest;
    float scale;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "Oy*z*z*z*fy*y*y*iO(nn)", &array, &detail, &calm, &mask, &gate, &scale,
            &shifts, &lowest, &highest, &how.margin, &output, &how.top, &how.left))
        return NULL;
    how.means = shifts.buf, how.lowest = lowest.buf, how.highest = highest.buf;
    if (take_pixels(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t cells = pixels.rows * pixels.columns, values = cells * pixels.channels;
        if (take_change(&detail, &calm, &mask, &gate, scale, cells, &change) &&
            has(&shifts, values, 4) && has(&lowest, values, 2) && has(&highest, values, 2) &&
            take_pixels(output, PyBUF_WRITABLE, &to, &how.out) == 0) {
            const Py_ssize_t wide = pixels.columns * pixels.channels;
            float *start = NULL;
            const Py_ssize_t lined = SIDE * (pixels.columns + LINE_EDGES);
            if (fits(&pixels, &how) &&
                (start = room(lined * (1 + pixels.channels) + 4 * wide + 2 * pixels.channels)) != NULL) {
                Lines lines = {start, start + lined, NULL, NULL, NULL};
                lines.least = lines.shifts + lined * pixels.channels;
                lines.most = lines.least + wide;
                lines.lines = (uint16_t *)(lines.most + wide);
                Py_BEGIN_ALLOW_THREADS;
                finish_pass(&pixels, &change, &how, &lines);
                Py_END_ALLOW_THREADS;
            }
            free(start);
            PyBuffer_Release(&to);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&detail);
    PyBuffer_Release(&calm);
    PyBuffer_Release(&mask);
    PyBuffer_Release(&gate);
    PyBuffer_Release(&shifts);
    PyBuffer_Release(&lowest);
    PyBuffer_Release(&highest);
    return nothing_unless_failed();
}

static PyObject *bands(PyObject *self, PyObject *arguments) {
    PyObject *array;
    Pixels pixels;
    Bands how;
    Py_buffer view, taps, made;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "O(fff)y*w*", &array, how.weights, how.weights + 1, how.weights + 2, &taps,
            &made))
        return NULL;
    if (take_values(array, 0, &view, &pixels) == 0) {
        const Py_ssize_t rows = (pixels.rows + SIDE - 1) / SIDE;
        const Py_ssize_t columns = (pixels.columns + SIDE - 1) / SIDE;
        const Py_ssize_t width = SIDE * (columns + 2 * BAND_EDGE);
        if (has(&taps, BANDS * (BAND_REACH + 1), 4) && has(&made, BANDS * rows * columns, 4) &&
            (how.ring = room((RING + 1 + BANDS) * width + BANDS * columns)) != NULL) {
            how.line = how.ring + RING * width, how.tall = how.line + width;
            how.wide = how.tall + BANDS * width, how.taps = taps.buf, how.made = made.buf;
            Py_BEGIN_ALLOW_THREADS;
            bands_pass(&pixels, &how);
            Py_END_ALLOW_THREADS;
            free(how.ring);
        }
        PyBuffer_Release(&view);
    }
    PyBuffer_Release(&taps);
    PyBuffer_Release(&made);
    return nothing_unless_failed();
}

static PyMethodDef methods[] = {
    {"bands", bands, METH_VARARGS, "Energies of bands in each cell."},
    {"survey", survey, METH_VARARGS, "Sum, minimum and maximum of each cell."},
    {"pack", pack, METH_VARARGS, "Convert pixels to what a network takes."},
    {"mask", mask, METH_VARARGS, "Compute a mask of bands of luma."},
    {"gates", gates, METH_VARARGS, "Compute the gate of an adaptive mask."},
    {"sum", sum, METH_VARARGS, "Sum the change of each cell."},
    {"means", means, METH_VARARGS, "Compute local means of sums."},
    {"finish", finish, METH_VARARGS, "Add a change to pixels, less its means, within bounds."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_packing", "Passes over pixels, see plain_packing.py.", 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__packing(void) { return PyModuleDef_Init(&definition); }
