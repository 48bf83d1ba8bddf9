/* Before the convolutions: sum, minimum and maximum of each cell; pixels less their local mean. */

/* Scratch: a line of values, of four rows of pixels each, and then of four columns. */
typedef struct {
    int32_t *sums;
    uint16_t *lowest, *highest;
} Survey;

INLINE void survey_down(
    const Pixels *pixels, Py_ssize_t row, Py_ssize_t count, int32_t *restrict sums,
    uint16_t *restrict lowest, uint16_t *restrict highest
) {
    const char *first = pixels->data + row * SIDE * pixels->row_bytes;
    const char *second = first + pixels->row_bytes, *third = second + pixels->row_bytes;
    const char *fourth = third + pixels->row_bytes;
    for (Py_ssize_t x = 0; x < count; x++) {
        const uint16_t a = value_at(first, pixels->depth, x), b = value_at(second, pixels->depth, x);
        const uint16_t c = value_at(third, pixels->depth, x), d = value_at(fourth, pixels->depth, x);
        sums[x] = (a + b) + (c + d);
        lowest[x] = smaller(smaller(a, b), smaller(c, d));
        highest[x] = larger(larger(a, b), larger(c, d));
    }
}

/* Each value with the one so many values on. */
INLINE void survey_across(Py_ssize_t by, Py_ssize_t count, const Survey *of) {
    int32_t *sums = of->sums;
    uint16_t *lowest = of->lowest, *highest = of->highest;
    for (Py_ssize_t x = 0; x < count; x++)
        sums[x] = sums[x] + sums[x + by];
    for (Py_ssize_t x = 0; x < count; x++)
        lowest[x] = smaller(lowest[x], lowest[x + by]);
    for (Py_ssize_t x = 0; x < count; x++)
        highest[x] = larger(highest[x], highest[x + by]);
}

INLINE void survey_all(
    const Pixels *pixels, const Survey *lines, int32_t *sums, uint16_t *lowest, uint16_t *highest
) {
    const int channels = pixels->channels;
    const Py_ssize_t count = pixels->columns * SIDE * channels;
    for (Py_ssize_t i = 0, at = 0; i < pixels->rows; i++) {
        survey_down(pixels, i, count, lines->sums, lines->lowest, lines->highest);
        survey_across(channels, count - channels, lines);
        survey_across(2 * channels, count - 3 * channels, lines);
        for (Py_ssize_t x = 0; x < count; x += SIDE * channels)
            for (int c = 0; c < channels; c++, at++) {
                sums[at] = lines->sums[x + c];
                lowest[at] = lines->lowest[x + c];
                highest[at] = lines->highest[x + c];
            }
    }
}

INLINE uint16_t half(float value) { /* float32 to bfloat16, rounded to even */
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

INLINE void put(void *to, int is_half, Py_ssize_t at, const float from[CELL]) {
    for (int k = 0; k < CELL; k++)
        if (is_half)
            ((uint16_t *)to)[at + k] = half(from[k]);
        else
            ((float *)to)[at + k] = from[k];
}

/* Sums over 3 x 3 cells inside the image, of a row of cells. */
INLINE void around_of(
    const int32_t *sums, Py_ssize_t rows, Py_ssize_t columns, int channels, Py_ssize_t row,
    int32_t *restrict tall, int32_t *restrict around
) {
    const Py_ssize_t wide = columns * channels;
    const int32_t *middle = sums + row * wide;
    const int32_t *above = row > 0 ? middle - wide : NULL;
    const int32_t *below = row + 1 < rows ? middle + wide : NULL;
    memset(tall, 0, channels * sizeof *tall);
    tall += channels;
    memset(tall + wide, 0, channels * sizeof *tall);
    for (Py_ssize_t x = 0; x < wide; x++)
        tall[x] = middle[x];
    for (Py_ssize_t x = 0; x < wide && above; x++)
        tall[x] += above[x];
    for (Py_ssize_t x = 0; x < wide && below; x++)
        tall[x] += below[x];
    for (Py_ssize_t x = 0; x < wide; x++)
        around[x] = (tall[x - channels] + tall[x]) + tall[x + channels];
}

/* Less the mean of the cells around, or as they are where there are no sums; lines is scratch. */
INLINE void pack_all(
    const Pixels *pixels, const int32_t *sums, int is_half, int32_t *lines, void *folded
) {
    const int channels = pixels->channels;
    const Py_ssize_t wide = pixels->columns * channels;
    int32_t *around = lines + wide + 2 * channels;
    uint16_t q[COLOURS][CELL];
    float made[CELL];
    memset(around, 0, wide * sizeof *around);
    for (Py_ssize_t i = 0, at = 0; i < pixels->rows; i++) {
        if (sums)
            around_of(sums, pixels->rows, pixels->columns, channels, i, lines, around);
        const int tall = 1 + (i > 0) + (i + 1 < pixels->rows);
        for (Py_ssize_t j = 0; j < pixels->columns; j++) {
            const int cells = tall * (1 + (j > 0) + (j + 1 < pixels->columns));
            const int32_t times = sums ? cells * CELL : 1;
            const float scale = (float)(1.0 / ((double)times * white_of(pixels)));
            load(pixels, i, j, q);
            for (int c = 0; c < COLOURS; c++, at += CELL) {
                const int of = channels == 1 ? 0 : c;
                const int32_t sum = around[j * channels + of];
                for (int k = 0; k < CELL; k++)
                    made[k] = (float)(times * (int32_t)q[of][k] - sum) * scale;
                put(folded, is_half, at, made);
            }
        }
    }
}
