/* After the convolutions: a change is added to pixels, less its local mean, within bounds. */

#define REACH 4 /* cells to each side of a local mean */

INLINE Py_ssize_t mirrored(Py_ssize_t at, Py_ssize_t size) {
    at = at % (2 * size);
    at = at < 0 ? at + 2 * size : at;
    return at < size ? at : 2 * size - 1 - at;
}

/* Mirror the edges of a line over REACH cells. */
INLINE void mirror_edges(int32_t *line, Py_ssize_t columns, int channels) {
    for (Py_ssize_t j = 1; j <= REACH; j++)
        for (int c = 0; c < channels; c++) {
            line[-j * channels + c] = line[mirrored(-j, columns) * channels + c];
            const Py_ssize_t behind = columns - 1 + j;
            line[behind * channels + c] = line[mirrored(behind, columns) * channels + c];
        }
}

INLINE void means_line(
    const int32_t *tall, Py_ssize_t wide, int channels, float scale, float *restrict means
) {
    for (Py_ssize_t x = 0; x < wide; x++) {
        int32_t sum = tall[x];
        for (int j = 1; j <= REACH; j++)
            sum += tall[x - j * channels] + tall[x + j * channels];
        means[x] = (float)sum * scale;
    }
}

/* Sums over 9 x 9 cells, whole numbers, so that running sums are exact. */
INLINE void means_all(
    const int32_t *sums, Py_ssize_t rows, Py_ssize_t columns, int channels, float scale,
    int32_t *lines, float *means
) {
    const Py_ssize_t wide = columns * channels;
    int32_t *restrict tall = lines + REACH * channels;
    memset(tall, 0, wide * sizeof *tall);
    for (Py_ssize_t i = -REACH; i < REACH; i++)
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] += sums[mirrored(i, rows) * wide + x];
    for (Py_ssize_t i = 0; i < rows; i++) {
        const int32_t *enters = sums + mirrored(i + REACH, rows) * wide;
        const int32_t *leaves = sums + mirrored(i - REACH, rows) * wide;
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] += enters[x];
        mirror_edges(tall, columns, channels);
        if (channels == COLOURS)
            means_line(tall, wide, COLOURS, scale, means + i * wide);
        else
            means_line(tall, wide, channels, scale, means + i * wide);
        for (Py_ssize_t x = 0; x < wide; x++)
            tall[x] -= leaves[x];
    }
}

typedef struct {
    const float *means;
    const uint16_t *lowest, *highest;
    int margin;
    Pixels out;
    Py_ssize_t top, left;
} Finish;

INLINE void smallest(
    const uint16_t *one, const uint16_t *two, const uint16_t *three, Py_ssize_t count,
    uint16_t *restrict to
) {
    for (Py_ssize_t x = 0; x < count; x++)
        to[x] = smaller(smaller(one[x], two[x]), three[x]);
}

INLINE void largest(
    const uint16_t *one, const uint16_t *two, const uint16_t *three, Py_ssize_t count,
    uint16_t *restrict to
) {
    for (Py_ssize_t x = 0; x < count; x++)
        to[x] = larger(larger(one[x], two[x]), three[x]);
}

/* Repeat the edges of a line: one cell before the first, one behind the last. */
INLINE void repeat_edge(uint16_t *line, Py_ssize_t wide, int channels) {
    for (int c = 0; c < channels; c++)
        line[c - channels] = line[c], line[wide + c] = line[wide - channels + c];
}

/* The range that 3 x 3 cells and the margin leave to each cell of a row; lines is scratch. */
INLINE void limits_of(
    const Finish *finish, const Pixels *pixels, Py_ssize_t row, uint16_t *lines,
    float *restrict least, float *restrict most
) {
    const int channels = pixels->channels;
    const uint16_t margin = finish->margin, white = (uint16_t)white_of(pixels);
    const Py_ssize_t wide = pixels->columns * channels, at = row * wide;
    const Py_ssize_t up = row > 0 ? -wide : 0, down_by = row + 1 < pixels->rows ? wide : 0;
    const uint16_t *lowest = finish->lowest + at, *highest = finish->highest + at;
    uint16_t *low = lines + channels, *high = low + wide + 2 * channels;
    uint16_t *of_nine = high + wide + channels;
    smallest(lowest + up, lowest, lowest + down_by, wide, low);
    largest(highest + up, highest, highest + down_by, wide, high);
    repeat_edge(low, wide, channels);
    repeat_edge(high, wide, channels);
    smallest(low - channels, low, low + channels, wide, of_nine);
    for (Py_ssize_t x = 0; x < wide; x++)
        least[x] = (float)(of_nine[x] - smaller(of_nine[x], margin));
    largest(high - channels, high, high + channels, wide, of_nine);
    for (Py_ssize_t x = 0; x < wide; x++)
        most[x] = (float)(of_nine[x] + smaller(white - of_nine[x], margin));
}

typedef struct {
    float *gates, *shifts, *least, *most;
    uint16_t *lines;
} Lines;

INLINE void finish_all(
    const Pixels *pixels, const Change *change, const Finish *finish, const Lines *lines
) {
    const int channels = pixels->channels;
    uint16_t q[BATCH][COLOURS][CELL], result[BATCH][COLOURS][CELL];
    float made[BATCH][COLOURS][CELL], gate[BATCH][CELL], shift[BATCH][COLOURS][CELL];
    for (Py_ssize_t y = 0; y < finish->out.rows; y++) {
        const Py_ssize_t i = finish->top + y;
        if (change->mask)
            down(change->gate, pixels->rows, pixels->columns, 1, i, lines->gates);
        down(finish->means, pixels->rows, pixels->columns, channels, i, lines->shifts);
        limits_of(finish, pixels, i, lines->lines, lines->least, lines->most);
        for (Py_ssize_t x = 0; x < finish->out.columns; x += BATCH) {
            const Py_ssize_t j = finish->left + x;
            const int count = at_most_batch(finish->out.columns - x);
            for (int n = 0; n < count; n++) {
                load(pixels, i, j + n, q[n]);
                if (change->mask)
                    across(lines->gates, pixels->columns, 1, j + n, 0, gate[n]);
                for (int c = 0; c < channels; c++)
                    across(lines->shifts, pixels->columns, channels, j + n, c, shift[n][c]);
            }
            for (int n = 0; n < count; n++)
                change_of(change, pixels, i * pixels->columns + j + n, gate[n], q[n], made[n]);
            for (int n = 0; n < count; n++)
                for (int c = 0; c < channels; c++) {
                    const float least = lines->least[(j + n) * channels + c];
                    const float most = lines->most[(j + n) * channels + c];
                    for (int k = 0; k < CELL; k++) {
                        const float value = (float)q[n][c][k] + (made[n][c][k] - shift[n][c][k]);
                        result[n][c][k] = (uint16_t)(int32_t)rounded(clamped(value, least, most));
                    }
                }
            for (int n = 0; n < count; n++)
                store(&finish->out, y, x + n, result[n]);
        }
    }
}
