/* Pixels, and their cells of 4 x 4: how a pass reads and writes them.

   Loops are over the values of a cell or over a line of cells, and write one array (restrict), so
   that compilers vectorise them. A sum within a cell is no such loop: GCC 12 joined those of the
   three colours, and computed one or two values at a time. So values are stored, and then added. */

#define SIDE 4
#define CELL (SIDE * SIDE)
#define COLOURS 3

#define INLINE static inline __attribute__((always_inline))
/* Where the C library can choose at load time, a second version for newer processors. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PASS __attribute__((target_clones("avx2", "default"))) static
#else
#define PASS static
#endif
/* A third one where long rows of float32 are all there is to do. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define WIDE_PASS __attribute__((target_clones("arch=x86-64-v4", "avx2", "default"))) static
#else
#define WIDE_PASS PASS
#endif

INLINE uint16_t smaller(uint16_t one, uint16_t other) { return one < other ? one : other; }
INLINE uint16_t larger(uint16_t one, uint16_t other) { return one > other ? one : other; }

typedef float floats4 __attribute__((vector_size(16)));
typedef int32_t ints4 __attribute__((vector_size(16)));
#if defined(__clang__)
#define SHUFFLED(kind, from, ...) __builtin_shufflevector(from, from, __VA_ARGS__)
#else
#define SHUFFLED(kind, from, ...) __builtin_shuffle(from, (kind){__VA_ARGS__})
#endif

typedef struct {
    char *data;
    Py_ssize_t row_bytes, rows, columns; /* rows and columns of cells */
    int channels, depth;                 /* bytes of a value */
} Pixels;

INLINE float white_of(const Pixels *pixels) { return pixels->depth == 1 ? 255.0f : 65535.0f; }

/* A value of a row of pixels. */
INLINE uint16_t value_at(const char *line, int depth, Py_ssize_t x) {
    return depth == 1 ? ((const uint8_t *)line)[x] : ((const uint16_t *)line)[x];
}

/* Three colours of 8 bits, which most images have, four pixels of a row at a time. Other compilers,
   and other pixels, take the plain loops below. */
#if defined(__GNUC__) && !defined(__clang__)
#define SHUFFLES 1
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint32_t words4 __attribute__((vector_size(16)));
typedef uint16_t values16 __attribute__((vector_size(2 * CELL)));

INLINE void load_colours(const char *line, Py_ssize_t row_bytes, int is_last, uint16_t to[][CELL]) {
    const bytes16 apart = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 12, 13, 14, 15};
    words4 rows[SIDE]; /* red, green and blue of four pixels; the last word is of the next cell */
    for (int y = 0; y < SIDE; y++, line += row_bytes) {
        bytes16 bytes = {0};
        if (is_last)
            memcpy(&bytes, line, SIDE * COLOURS);
        else
            memcpy(&bytes, line, sizeof bytes);
        rows[y] = (words4)__builtin_shuffle(bytes, apart);
    }
    const words4 upper = __builtin_shuffle(rows[0], rows[1], (words4){0, 4, 1, 5});
    const words4 lower = __builtin_shuffle(rows[2], rows[3], (words4){0, 4, 1, 5});
    const words4 blue_above = __builtin_shuffle(rows[0], rows[1], (words4){2, 6, 2, 6});
    const words4 blue_below = __builtin_shuffle(rows[2], rows[3], (words4){2, 6, 2, 6});
    const words4 colours[COLOURS] = {
        __builtin_shuffle(upper, lower, (words4){0, 1, 4, 5}),
        __builtin_shuffle(upper, lower, (words4){2, 3, 6, 7}),
        __builtin_shuffle(blue_above, blue_below, (words4){0, 1, 4, 5}),
    };
    for (int c = 0; c < COLOURS; c++) {
        const values16 values = __builtin_convertvector((bytes16)colours[c], values16);
        memcpy(to[c], &values, sizeof values);
    }
}

INLINE void store_colours(char *line, Py_ssize_t row_bytes, uint16_t from[][CELL]) {
    const bytes16 together = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, 12, 13, 14, 15};
    words4 colours[COLOURS];
    for (int c = 0; c < COLOURS; c++) {
        values16 values;
        memcpy(&values, from[c], sizeof values);
        colours[c] = (words4)__builtin_convertvector(values, bytes16);
    }
    const words4 upper = __builtin_shuffle(colours[0], colours[1], (words4){0, 4, 1, 5});
    const words4 lower = __builtin_shuffle(colours[0], colours[1], (words4){2, 6, 3, 7});
    const words4 rows[SIDE] = {
        __builtin_shuffle(upper, colours[2], (words4){0, 1, 4, 4}),
        __builtin_shuffle(upper, colours[2], (words4){2, 3, 5, 5}),
        __builtin_shuffle(lower, colours[2], (words4){0, 1, 6, 6}),
        __builtin_shuffle(lower, colours[2], (words4){2, 3, 7, 7}),
    };
    for (int y = 0; y < SIDE; y++, line += row_bytes) {
        const bytes16 bytes = __builtin_shuffle((bytes16)rows[y], together);
        memcpy(line, &bytes, SIDE * COLOURS);
    }
}
#else
#define SHUFFLES 0
#define load_colours(line, row_bytes, is_last, to) (void)(line)
#define store_colours(line, row_bytes, from) (void)(line)
#endif

/* Values of one cell, colour by colour. */
INLINE void load(const Pixels *from, Py_ssize_t row, Py_ssize_t column, uint16_t to[][CELL]) {
    const int width = SIDE * from->channels;
    if (SHUFFLES && from->depth == 1 && from->channels == COLOURS) {
        const char *line = from->data + row * SIDE * from->row_bytes + column * width;
        load_colours(line, from->row_bytes, column + 1 == from->columns, to);
        return;
    }
    uint8_t bytes[CELL * COLOURS];
    uint16_t values[CELL * COLOURS];
    for (int y = 0; y < SIDE; y++) {
        const char *line = from->data + (row * SIDE + y) * from->row_bytes;
        line += column * width * from->depth;
        if (from->depth == 1)
            memcpy(bytes + y * width, line, width);
        else
            memcpy(values + y * width, line, 2 * width);
    }
    for (int k = 0; k < CELL; k++)
        for (int c = 0; c < from->channels; c++)
            to[c][k] = from->depth == 1 ? bytes[k * from->channels + c]
                                        : values[k * from->channels + c];
}

INLINE void store(const Pixels *to, Py_ssize_t row, Py_ssize_t column, uint16_t from[][CELL]) {
    const int width = SIDE * to->channels;
    if (SHUFFLES && to->depth == 1 && to->channels == COLOURS) {
        char *line = to->data + row * SIDE * to->row_bytes + column * width;
        store_colours(line, to->row_bytes, from);
        return;
    }
    uint8_t bytes[CELL * COLOURS];
    uint16_t values[CELL * COLOURS];
    for (int k = 0; k < CELL; k++)
        for (int c = 0; c < to->channels; c++)
            if (to->depth == 1)
                bytes[k * to->channels + c] = (uint8_t)from[c][k];
            else
                values[k * to->channels + c] = from[c][k];
    for (int y = 0; y < SIDE; y++) {
        char *line = to->data + (row * SIDE + y) * to->row_bytes + column * width * to->depth;
        if (to->depth == 1)
            memcpy(line, bytes + y * width, width);
        else
            memcpy(line, values + y * width, 2 * width);
    }
}
