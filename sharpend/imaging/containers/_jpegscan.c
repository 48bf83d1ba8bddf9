/* Walk through the compressed data of a sequential JPEG scan, Huffman code by Huffman code, and tell
   whether it fits the image exactly. Makes no pixels, and says no more than yes or no:
   jpegwalk.py finds the words for a no. Whatever is unusual is a no.

   Source: ITU-T T.81 (JPEG), annexes C (code tables) and F.2.2 (decoding). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TABLES 8 /* four of DC, then four of AC coefficients */
#define LONGEST 16 /* bits of a code */
#define RECORD (LONGEST + 256) /* bytes of a table: numbers of codes by length, then symbols */
#define FAST 11 /* bits of a code that are looked up at once */
#define BLOCK 64 /* coefficients */
#define SPARE 272 /* bytes, more than a block of BLOCK codes of 31 bits and a window have */
#define MARKER 0xff

typedef struct {
    uint16_t fast[1 << FAST]; /* by the next bits an entry, 0 for longer codes */
    uint16_t entries[256];    /* of symbols in the order of their codes */
    int32_t ends[LONGEST + 1]; /* by length, the first code behind those of this length */
    int32_t shifts[LONGEST + 1]; /* by length, from a code to its index in `entries` */
} Table;

/* Bits of a code with the number behind it << 8, and the coefficients that it stands for. */
static uint16_t entry_of(int is_dc, int length, int symbol) {
    const int size = symbol & 15, zeros = symbol >> 4;
    if (is_dc)
        return (uint16_t)((length + size) << 8 | 1);
    const int steps = size || zeros == 15 ? zeros + 1 : BLOCK;
    return (uint16_t)((length + size) << 8 | steps);
}

/* Returns 0 where libjpeg would refuse the table. */
static int build(Table *table, const uint8_t *record, int is_dc) {
    const uint8_t *symbols = record + LONGEST;
    int32_t code = 0, index = 0;
    memset(table, 0, sizeof *table);
    for (int length = 1; length <= LONGEST; length++, code <<= 1) {
        const int count = record[length - 1];
        if (index + count > 256 || code + count > 1 << length)
            return 0;
        table->shifts[length] = index - code;
        for (int i = 0; i < count; i++, code++, index++) {
            if (is_dc && symbols[index] > 15)
                return 0;
            const uint16_t entry = entry_of(is_dc, length, symbols[index]);
            table->entries[index] = entry;
            if (length <= FAST)
                for (int spare = 0; spare < 1 << (FAST - length); spare++)
                    table->fast[(code << (FAST - length)) + spare] = entry;
        }
        table->ends[length] = code;
    }
    return 1;
}

/* The entry of a code longer than FAST, 0 for none. */
static uint16_t longer(const Table *table, uint64_t window) {
    for (int length = FAST + 1; length <= LONGEST; length++) {
        const int32_t code = (int32_t)(window >> (64 - length));
        if (code < table->ends[length])
            return table->entries[code + table->shifts[length]];
    }
    return 0;
}

static uint64_t eight_bytes(const uint8_t *from) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) /* compilers make one load of it */
        bits = bits << 8 | from[i];
    return bits;
}

typedef struct {
    const Table *tables;
    const uint8_t *plan; /* numbers of the DC and AC table of each block of an MCU */
    Py_ssize_t blocks;
} Scan;

/* Whether a piece holds so many MCUs and no more; SPARE bytes behind it can be read. */
static int fits(const Scan *scan, const uint8_t *bytes, size_t count, Py_ssize_t mcus) {
    const uint8_t *next = bytes; /* what follows the bits of the window */
    uint64_t window = 0;         /* from its highest bit on */
    int held = 0;                /* bits of the window that count */
    for (Py_ssize_t mcu = 0; mcu < mcus; mcu++)
        for (Py_ssize_t block = 0; block < scan->blocks; block++) {
            const Table *table = scan->tables + scan->plan[2 * block];
            const Table *following = scan->tables + scan->plan[2 * block + 1];
            for (int filled = 0; filled < BLOCK;) {
                window |= eight_bytes(next) >> held;
                next += (63 - held) >> 3;
                held |= 56;
                uint16_t entry = table->fast[window >> (64 - FAST)];
                if (!entry && !(entry = longer(table, window)))
                    return 0;
                filled += entry & 0xff;
                window <<= entry >> 8;
                held -= entry >> 8;
                table = following;
            }
            if (8 * (next - bytes) - held > (Py_ssize_t)(8 * count))
                return 0;
        }
    return (Py_ssize_t)(8 * count) - (8 * (next - bytes) - held) < 8;
}

/* Whether a whole scan fits; `room` has SPARE bytes more than the coded data. */
static int is_whole(
    const Scan *scan, const uint8_t *coded, size_t count, uint8_t *room, Py_ssize_t mcus,
    Py_ssize_t interval) {
    const uint8_t *end = coded + count;
    for (int restart = 0xd0;; restart = restart == 0xd7 ? 0xd0 : restart + 1) {
        const Py_ssize_t here = interval && interval < mcus ? interval : mcus;
        size_t made = 0;
        int found = 0; /* the marker behind this piece */
        while (coded < end && !found) {
            const uint8_t *stop = memchr(coded, MARKER, (size_t)(end - coded));
            const size_t plain = (size_t)((stop ? stop : end) - coded);
            memcpy(room + made, coded, plain);
            made += plain;
            coded += plain;
            if (stop) {
                if (end - coded < 2)
                    return 0;
                if (coded[1])
                    found = coded[1];
                else
                    room[made++] = MARKER;
                coded += 2;
            }
        }
        memset(room + made, 0, SPARE);
        if (!fits(scan, room, made, here))
            return 0;
        mcus -= here;
        if (!mcus)
            return !found && coded == end;
        if (found != restart)
            return 0;
    }
}

static PyObject *is_sound(PyObject *self, PyObject *arguments) {
    Py_buffer coded, records, plan;
    Py_ssize_t mcus, interval;
    int answer = 0;
    (void)self;
    if (!PyArg_ParseTuple(
            arguments, "y*y*y*nn", &coded, &records, &plan, &mcus, &interval))
        return NULL;
    const uint8_t *numbers = plan.buf;
    int is_right = records.len == TABLES * RECORD && plan.len > 0 && plan.len % 2 == 0 &&
                   mcus > 0 && interval >= 0;
    for (Py_ssize_t i = 0; i < plan.len && is_right; i++)
        is_right = numbers[i] < TABLES;
    if (!is_right) {
        PyErr_SetString(PyExc_ValueError, "is_sound: sizes that do not fit together");
    } else {
        Table *tables = malloc(TABLES * sizeof *tables);
        uint8_t *room = malloc((size_t)coded.len + SPARE);
        if (!tables || !room) {
            PyErr_NoMemory();
        } else {
            Py_BEGIN_ALLOW_THREADS;
            const Scan scan = {tables, numbers, plan.len / 2};
            answer = 1;
            for (int i = 0; i < TABLES && answer; i++)
                answer = build(tables + i, (const uint8_t *)records.buf + i * RECORD, i < TABLES / 2);
            answer = answer && is_whole(&scan, coded.buf, (size_t)coded.len, room, mcus, interval);
            Py_END_ALLOW_THREADS;
        }
        free(tables);
        free(room);
    }
    PyBuffer_Release(&coded);
    PyBuffer_Release(&records);
    PyBuffer_Release(&plan);
    if (PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(answer);
}

static PyMethodDef methods[] = {
    {"is_sound", is_sound, METH_VARARGS, "Tell whether coded data is what a scan needs."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_jpegscan", "Checks of JPEG scans, see jpegwalk.py.", 0, methods,
    slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__jpegscan(void) { return PyModuleDef_Init(&definition); }
