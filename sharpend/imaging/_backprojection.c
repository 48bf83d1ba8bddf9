/* What a small image does not give of one four times as large in each direction, and that reduced
   again: one step of iterative back-projection, in one pass over the large image. enlarged.py has
   the weights, and the same in Pillow, which rounds each value elsewhere. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FACTOR 4
#define NEAR 5              /* small pixels that give a large one, two to each side of its own */
#define WIDE (4 * FACTOR)   /* large pixels that give a small one */
#define BEFORE 6            /* of them before the first that lies within it */
#define RING 8              /* rows kept, at least NEAR */
#define FLUSH 8             /* rows of the small image after which squares are added up in double */

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PASS __attribute__((target_clones("avx2", "default"))) static
#else
#define PASS static
#endif

typedef struct {
    const float *channel;  /* the large image */
    const uint8_t *judged; /* 0 where a pixel does not count */
    const float *small;    /* rows x columns */
    Py_ssize_t rows, columns;
    const float *up_down, *up_across;     /* rows, columns x NEAR x FACTOR */
    const float *down_down, *down_across; /* rows, columns x WIDE */
    float *made;                          /* rows x columns: what is missing, reduced */
    float *enlarged;                      /* RING rows of the small image, enlarged across */
    float *reduced;                       /* RING rows of what is missing, reduced down */
    float *line, *squares;                /* a row of the large image, and sums of its columns */
    float *padded;                        /* a row of the small image with two zeros to each side */
} Fit;

INLINE Py_ssize_t within(Py_ssize_t at, Py_ssize_t size) {
    return at < 0 ? 0 : at < size ? at : size - 1;
}

INLINE void enlarge_across(const Fit *fit, Py_ssize_t row) {
    float *to = fit->enlarged + (row % RING) * FACTOR * fit->columns;
    memcpy(fit->padded + 2, fit->small + row * fit->columns, (size_t)fit->columns * sizeof(float));
    for (Py_ssize_t i = 0; i < fit->columns; i++) {
        const float *weights = fit->up_across + i * NEAR * FACTOR;
        for (int part = 0; part < FACTOR; part++) {
            float sum = 0;
            for (int k = 0; k < NEAR; k++)
                sum += fit->padded[i + k] * weights[k * FACTOR + part];
            to[i * FACTOR + part] = sum;
        }
    }
}

/* One row of the large image: what is missing, into fit->line. */
INLINE void compare(const Fit *fit, Py_ssize_t row, int part) {
    const Py_ssize_t width = FACTOR * fit->columns, at = (row * FACTOR + part) * width;
    const float *channel = fit->channel + at, *from[NEAR];
    const uint8_t *judged = fit->judged + at;
    float *line = fit->line, *squares = fit->squares, weights[NEAR];
    for (int k = 0; k < NEAR; k++) {
        from[k] = fit->enlarged + (within(row + k - 2, fit->rows) % RING) * width;
        weights[k] = fit->up_down[(row * NEAR + k) * FACTOR + part];
    }
    for (Py_ssize_t x = 0; x < width; x++) {
        const float given = from[0][x] * weights[0] + from[1][x] * weights[1] +
                            from[2][x] * weights[2] + from[3][x] * weights[3] +
                            from[4][x] * weights[4];
        const float missing = judged[x] ? channel[x] - given : 0.0f;
        line[x] = missing;
        squares[x] += missing * missing;
    }
}

INLINE void reduce_down(const Fit *fit, Py_ssize_t row, int part) {
    const Py_ssize_t width = FACTOR * fit->columns, y = row * FACTOR + part;
    for (Py_ssize_t to = row - 2; to <= row + 2; to++) {
        const Py_ssize_t tap = y - (to * FACTOR - BEFORE);
        if (to < 0 || to >= fit->rows || tap < 0 || tap >= WIDE)
            continue;
        const float weight = fit->down_down[to * WIDE + tap];
        float *sums = fit->reduced + (to % RING) * (width + WIDE) + BEFORE;
        for (Py_ssize_t x = 0; x < width; x++)
            sums[x] += fit->line[x] * weight;
    }
}

INLINE void reduce_across(const Fit *fit, Py_ssize_t row) {
    const Py_ssize_t width = FACTOR * fit->columns;
    float *sums = fit->reduced + (row % RING) * (width + WIDE);
    for (Py_ssize_t i = 0; i < fit->columns; i++) {
        const float *from = sums + i * FACTOR, *weights = fit->down_across + i * WIDE;
        float parts[FACTOR] = {0};
        for (int tap = 0; tap < WIDE; tap += FACTOR)
            for (int part = 0; part < FACTOR; part++)
                parts[part] += from[tap + part] * weights[tap + part];
        fit->made[row * fit->columns + i] = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
    memset(sums + BEFORE, 0, (size_t)width * sizeof(float));
}

INLINE double flushed(const Fit *fit) {
    double sum = 0;
    for (Py_ssize_t x = 0; x < FACTOR * fit->columns; x++) {
        sum += fit->squares[x];
        fit->squares[x] = 0;
    }
    return sum;
}

PASS double missing_pass(const Fit *fit) {
    double sum = 0;
    for (Py_ssize_t row = 0; row < 2 && row < fit->rows; row++)
        enlarge_across(fit, row);
    for (Py_ssize_t row = 0; row < fit->rows; row++) {
        if (row + 2 < fit->rows)
            enlarge_across(fit, row + 2);
        for (int part = 0; part < FACTOR; part++) {
            compare(fit, row, part);
            reduce_down(fit, row, part);
        }
        if (row >= 2)
            reduce_across(fit, row - 2);
        if (row % FLUSH == FLUSH - 1)
            sum += flushed(fit);
    }
    for (Py_ssize_t row = fit->rows < 2 ? 0 : fit->rows - 2; row < fit->rows; row++)
        reduce_across(fit, row);
    return sum + flushed(fit);
}

static int has(const Py_buffer *view, Py_ssize_t values, Py_ssize_t bytes) {
    if (view->len == values * bytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "an array of %zd bytes is not %zd values", view->len, values);
    return 0;
}

static PyObject *missing(PyObject *self, PyObject *arguments) {
    Fit fit;
    Py_buffer channel, judged, small, up[2], down[2], made;
    double sum = 0;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "y*y*y*(y*y*)(y*y*)w*(nn)", &channel, &judged, &small, up, up + 1, down,
            down + 1, &made, &fit.rows, &fit.columns))
        return NULL;
    const Py_ssize_t rows = fit.rows, columns = fit.columns, width = FACTOR * columns;
    const int fits = rows > 0 && columns > 0 && rows < 1 << 24 && columns < 1 << 24;
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "an image has at least one pixel");
    if (fits && has(&channel, rows * columns * FACTOR * FACTOR, 4) &&
        has(&judged, rows * columns * FACTOR * FACTOR, 1) && has(&small, rows * columns, 4) &&
        has(up, rows * NEAR * FACTOR, 4) && has(up + 1, columns * NEAR * FACTOR, 4) &&
        has(down, rows * WIDE, 4) && has(down + 1, columns * WIDE, 4) &&
        has(&made, rows * columns, 4)) {
        float *room = calloc(
            (size_t)(RING * width + RING * (width + WIDE) + 2 * width + columns + 4), sizeof *room);
        if (room == NULL) {
            PyErr_NoMemory();
        } else {
            fit.channel = channel.buf, fit.judged = judged.buf, fit.small = small.buf;
            fit.up_down = up[0].buf, fit.up_across = up[1].buf;
            fit.down_down = down[0].buf, fit.down_across = down[1].buf, fit.made = made.buf;
            fit.enlarged = room, fit.reduced = room + RING * width;
            fit.line = fit.reduced + RING * (width + WIDE), fit.squares = fit.line + width;
            fit.padded = fit.squares + width;
            Py_BEGIN_ALLOW_THREADS;
            sum = missing_pass(&fit);
            Py_END_ALLOW_THREADS;
            free(room);
        }
    }
    Py_buffer *views[] = {&channel, &judged, &small, up, up + 1, down, down + 1, &made};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        PyBuffer_Release(views[i]);
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(sum);
}

static PyMethodDef methods[] = {
    {"missing", missing, METH_VARARGS, "Compare a small image, enlarged, with a large one."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_backprojection", "A step of back-projection, see enlarged.py.", 0,
    methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__backprojection(void) { return PyModuleDef_Init(&definition); }
