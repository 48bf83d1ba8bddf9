/* Walk through an LZW stream code by code and count the values that it stands for, without decoding
   any: an entry of the table has one value more than the code before it.

   Source: TIFF 6.0, section 13; GIF89a specification, appendix F. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define MOST_BITS 12
#define TABLE (1 << MOST_BITS)

typedef struct {
    const uint8_t *bytes;
    int64_t size; /* in bits */
    int is_tiff;  /* codes begin with their highest bit, and grow one code early */
} Stream;

typedef struct {
    int64_t decoded; /* values */
    int64_t full;    /* the bit behind the code with which there are enough */
    int64_t end;     /* the bit behind the end code; -1 without one, -2 at a code for nothing */
} Walked;

static int32_t code_at(const Stream *stream, int64_t at, int width) {
    const int64_t first = at >> 3, last = (at + width - 1) >> 3;
    const int shift = (int)(at & 7);
    uint32_t window = 0;
    if (stream->is_tiff) {
        for (int64_t i = first; i < first + 3; i++)
            window = window << 8 | (i <= last ? stream->bytes[i] : 0);
        window >>= 24 - shift - width;
    } else {
        for (int64_t i = last; i >= first; i--)
            window = window << 8 | stream->bytes[i];
        window >>= shift;
    }
    return (int32_t)(window & ((1u << width) - 1));
}

static Walked walked(const Stream *stream, int bits, int64_t most) {
    const int32_t clear = 1 << bits, end = clear + 1, first = end + 1;
    int32_t lengths[TABLE]; /* of entries */
    int32_t position = 0;   /* codes since the table was cleared */
    int width = bits + 1;
    Walked found = {0, 0, -1};
    int64_t at = 0;
    while (at + width <= stream->size) {
        const int32_t code = code_at(stream, at, width), index = code - first;
        if (index >= position) {
            found.end = -2;
            break;
        }
        at += width;
        if (code == end) {
            found.end = at;
            break;
        }
        if (found.decoded < most)
            found.full = at;
        if (code == clear) {
            position = 0;
            width = bits + 1;
            continue;
        }
        const int32_t length = index < 0 ? 1 : lengths[index];
        found.decoded += length;
        if (first + position < TABLE)
            lengths[position++] = length + 1;
        if (end + position + stream->is_tiff >= 1 << width && width < MOST_BITS)
            width++;
    }
    return found;
}

static PyObject *walk(PyObject *self, PyObject *arguments) {
    Py_buffer data;
    Py_ssize_t most;
    int bits, is_tiff;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*nip", &data, &most, &bits, &is_tiff))
        return NULL;
    if (bits < 1 || bits >= MOST_BITS) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "walk: values have 1 to 11 bits");
        return NULL;
    }
    const Stream stream = {data.buf, 8 * (int64_t)data.len, is_tiff};
    Walked found;
    Py_BEGIN_ALLOW_THREADS;
    found = walked(&stream, bits, most);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&data);
    return Py_BuildValue(
        "LLL", (long long)found.decoded, (long long)found.full, (long long)found.end);
}

static PyMethodDef methods[] = {
    {"walk", walk, METH_VARARGS, "Count the values of a stream, and find its end."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_lzwwalk", "Lengths of LZW streams, see lzw.py.", 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__lzwwalk(void) { return PyModuleDef_Init(&definition); }
