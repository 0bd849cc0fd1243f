/* Training a decoder on a CPU: what stands between its large products, forward and backward, on one
 * thread.  The products are the caller's; here are norms, rotations, gates and attention over packed
 * tokens: sequences lie one after the other without padding, and those that share a context share
 * its keys, values and gradients.
 *
 * Every sum runs over its terms in one order: the same tokens in the same order give the same bits.
 */

#include "vectors.h"

#define QUERIES (3 * PANEL) /* whose scores are held at once */

/* Tokens that follow each other.  Each sees the tokens [context_start, context_start +
 * context_length) and of its own segment itself and those before it. */
typedef struct {
    int32_t start, length, context_start, context_length;
} Segment;

int32_t segment_bytes(void) { return sizeof(Segment); }

/* ---- norms ---- */

/* y = x / rms(x) * gain for n rows of `groups` vectors each, with `rounds` in bfloat16; 1 / rms goes to
 * inverse (n, groups). */
void norm(int32_t n, int32_t groups, int32_t width, const float *x, int64_t x_stride,
          const float *gain, float eps, float *y, int64_t y_stride, float *inverse,
          int32_t rounds) {
    for (int r = 0; r < n; r++)
        for (int g = 0; g < groups; g++) {
            const float *from = x + r * x_stride + g * width;
            float row[width], *to = rounds ? row : y + r * y_stride + g * width, s = 0;
            vec sums = {0};
            int i = 0;
            for (; i + LANES <= width; i += LANES) {
                vec v = *(const vec *)(from + i);
                sums = fused(v, v, sums);
            }
            s = total(sums);
            for (; i < width; i++) s += from[i] * from[i];
            float by = 1.0f / sqrtf(s / width + eps);
            for (i = 0; i < width; i++) to[i] = from[i] * by * gain[i];
            if (rounds) narrow(row, width, (int16_t *)y + r * y_stride + g * width);
            inverse[r * groups + g] = by;
        }
}

/* dx = (or, with `add`, +=) what dy brings; dgain += likewise.  dx may be dy. */
void norm_backward(int32_t n, int32_t groups, int32_t width, const float *x, int64_t x_stride,
                   const float *gain, const float *inverse, const float *dy, int64_t dy_stride,
                   float *dx, int64_t dx_stride, float *dgain, int32_t add) {
    for (int r = 0; r < n; r++)
        for (int g = 0; g < groups; g++) {
            const float *from = x + r * x_stride + g * width;
            const float *d = dy + r * dy_stride + g * width;
            float *to = dx + r * dx_stride + g * width, s = 0, by = inverse[r * groups + g];
            vec sums = {0};
            int i = 0;
            for (; i + LANES <= width; i += LANES)
                sums = fused(*(const vec *)(d + i) * *(const vec *)(gain + i),
                             *(const vec *)(from + i), sums);
            s = total(sums);
            for (; i < width; i++) s += d[i] * gain[i] * from[i];
            float along = s * by * by * by / width;
            for (i = 0; i < width; i++) {
                float own = d[i];
                dgain[i] += own * from[i] * by;
                float value = own * gain[i] * by - from[i] * along;
                to[i] = add ? to[i] + value : value;
            }
        }
}

/* ---- positions ---- */

/* Rotates `heads` vectors a row, in place, by their row's position; or back. */
void turn(int32_t n, int32_t heads, int32_t width, float *x, int64_t stride,
          const int32_t *positions, const float *cos, const float *sin, int32_t back) {
    int half = width / 2;
    for (int r = 0; r < n; r++) {
        const float *c = cos + (size_t)positions[r] * width, *s = sin + (size_t)positions[r] * width;
        for (int h = 0; h < heads; h++) {
            float *v = x + r * stride + h * width;
            for (int i = 0; i < half; i++) {
                float a = v[i], b = v[i + half];
                float p = back ? s[i + half] : -s[i], q = back ? -s[i] : s[i + half];
                v[i] = a * c[i] + b * p;
                v[i + half] = b * c[i + half] + a * q;
            }
        }
    }
}

/* To bfloat16 and back, in place. */
void round_all(int64_t n, float *x) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) *(vec *)(x + i) = rounded(*(vec *)(x + i));
    for (; i < n; i++) {
        int16_t half = rounded_half(x[i]);
        x[i] = number(1, (const float *)&half, 0);
    }
}

/* ---- gates ---- */

/* both (n, 2 inner): gate | up -> y (n, inner) = silu(gate) * up; `rounds`: in bfloat16. */
void gated(int32_t n, int32_t inner, const float *both, float *y, int32_t rounds) {
    for (int r = 0; r < n; r++) {
        const float *g = both + (size_t)r * 2 * inner, *u = g + inner;
        float *to = y + (size_t)r * inner;
        int16_t *halves_to = (int16_t *)y + (size_t)r * inner;
        int i = 0;
        for (; i + LANES <= inner; i += LANES) {
            vec x = *(const vec *)(g + i);
            vec made = x / (1.0f + vexp(-vmax(x, every(-80.0f)))) * *(const vec *)(u + i);
            if (rounds)
                *(halves *)(halves_to + i) = halves_of(made);
            else
                *(vec *)(to + i) = made;
        }
        for (; i < inner; i++) {
            float made = g[i] / (1.0f + expf(-g[i])) * u[i];
            if (rounds)
                halves_to[i] = rounded_half(made);
            else
                to[i] = made;
        }
    }
}

/* dy (n, inner) -> what it brings to gate and up, in their place. */
void gated_backward(int32_t n, int32_t inner, float *both, const float *dy) {
    for (int r = 0; r < n; r++) {
        float *g = both + (size_t)r * 2 * inner, *u = g + inner;
        const float *d = dy + (size_t)r * inner;
        int i = 0;
        for (; i + LANES <= inner; i += LANES) {
            vec x = *(vec *)(g + i), up = *(vec *)(u + i), own = *(const vec *)(d + i);
            vec sigmoid = 1.0f / (1.0f + vexp(-vmax(x, every(-80.0f))));
            *(vec *)(g + i) = own * up * sigmoid * (1.0f + x * (1.0f - sigmoid));
            *(vec *)(u + i) = own * x * sigmoid;
        }
        for (; i < inner; i++) {
            float x = g[i], sigmoid = 1.0f / (1.0f + expf(-x));
            g[i] = d[i] * u[i] * sigmoid * (1.0f + x * (1.0f - sigmoid));
            u[i] = d[i] * x * sigmoid;
        }
    }
}

/* ---- attention ---- */

/* Vectors (n, width), a row each -> columns of panels [column / PANEL][width][PANEL], from `at` (a
 * whole number of panels) on, zeros up to the next whole panel. */
static void across(const float *x, size_t stride, int n, int width, int at, float *to) {
    for (int c = 0; c < padded(n); c++) {
        float *column = to + (size_t)((at + c) / PANEL) * width * PANEL + c % PANEL;
        for (int d = 0; d < width; d++)
            column[(size_t)d * PANEL] = c < n ? x[c * stride + d] : 0.0f;
    }
}

/* Vectors (n, width), a row each -> rows of panels [width / PANEL][room][PANEL], from `at` on, zeros
 * up to the next whole number of panels' rows. */
static void down(const float *x, size_t stride, int n, int width, int at, int room, float *to) {
    for (int p = 0; p < padded(width) / PANEL; p++)
        for (int r = 0; r < padded(n); r++) {
            float *row = to + ((size_t)p * room + at + r) * PANEL;
            for (int j = 0; j < PANEL; j++) {
                int d = p * PANEL + j;
                row[j] = r < n && d < width ? x[r * stride + d] : 0.0f;
            }
        }
}

typedef struct {
    int heads, kv_heads, width, room; /* room: columns of the longest segment with its context */
    float scale;
    size_t row; /* floats of a row of queries, keys and values */
} Shape;

static Shape shape_of(int m, const Segment *segments, int heads, int kv_heads, int width) {
    Shape s = {heads, kv_heads, width, 0, 1.0f / sqrtf(width), 0};
    s.row = (size_t)(heads + 2 * kv_heads) * width;
    for (int i = 0; i < m; i++) {
        int room = padded(segments[i].context_length) + padded(segments[i].length);
        s.room = room > s.room ? room : s.room;
    }
    return s;
}

/* Floats that `attention_backward` needs, and more than `attention` does. */
int64_t attention_floats(int32_t m, const Segment *segments, int32_t width) {
    Shape s = shape_of(m, segments, 1, 1, width);
    return (int64_t)s.room * (2 * width + 3 * padded(width) + 2 * QUERIES) +
           (int64_t)QUERIES * (3 * padded(width) + 1);
}

/* exp(scale * scores - least) of a block of queries, 0 where nothing is to be seen: `first` is the
 * place of the first query in its segment. */
static void weigh(const Segment *g, int first, int n, int columns, int room, float scale,
                  const float *least, float *scores) {
    int context = padded(g->context_length);
    for (int r = 0; r < n; r++) {
        float *s = scores + (size_t)r * room;
        vec shift = every(least[r]);
        for (int c = 0; c < columns; c += LANES)
            *(vec *)(s + c) = vexp(*(vec *)(s + c) * scale - shift);
        for (int c = g->context_length; c < context; c++) s[c] = 0;
        for (int c = context + first + r + 1; c < columns; c++) s[c] = 0;
    }
}

/* The largest of each query's scores, times scale. */
static void highest_scores(const Segment *g, int first, int n, int room, float scale,
                           const float *scores, float *high) {
    int context = padded(g->context_length);
    for (int r = 0; r < n; r++) {
        const float *s = scores + (size_t)r * room;
        float top = s[context]; /* a token sees its segment's first one */
        for (int c = 0; c < g->context_length; c++) top = s[c] > top ? s[c] : top;
        for (int c = context; c <= context + first + r; c++) top = s[c] > top ? s[c] : top;
        high[r] = top * scale;
    }
}

/* y (n, heads * width) of qkv (n, queries | keys | values), and the logarithm of each query's sum of
 * exponentials (n, heads).  Segments with one context stand next to each other. */
void attention(int32_t m, const Segment *segments, int32_t heads, int32_t kv_heads, int32_t width,
               const float *qkv, float *scratch, float *y, float *log_sums) {
    const Shape s = shape_of(m, segments, heads, kv_heads, width);
    const int across_width = padded(width), room = s.room;
    float *keys = scratch, *values = keys + (size_t)room * width;
    float *scores = values + (size_t)room * across_width, *mixed = scores + (size_t)QUERIES * room;
    float *high = mixed + (size_t)QUERIES * across_width;
    for (int k = 0; k < kv_heads; k++)
        for (int i = 0; i < m; i++) {
            const Segment *g = segments + i;
            const float *key = qkv + (size_t)(heads + k) * width, *value = key + kv_heads * width;
            const int context = padded(g->context_length);
            if (context && (!i || g->context_start != g[-1].context_start ||
                            g->context_length != g[-1].context_length)) {
                size_t at = g->context_start * s.row;
                across(key + at, s.row, g->context_length, width, 0, keys);
                down(value + at, s.row, g->context_length, width, 0, room, values);
            }
            across(key + g->start * s.row, s.row, g->length, width, context, keys);
            down(value + g->start * s.row, s.row, g->length, width, context, room, values);
            for (int h = k * (heads / kv_heads); h < (k + 1) * (heads / kv_heads); h++)
                for (int first = 0; first < g->length; first += QUERIES) {
                    int n = g->length - first < QUERIES ? g->length - first : QUERIES;
                    int columns = context + padded(first + n);
                    size_t at = g->start + first;
                    for (int c = 0; c < columns; c += PANEL)
                        tiles(0, n, qkv + at * s.row + h * width, s.row, 1,
                              keys + (size_t)c * width, width, scores + c, room, 1);
                    highest_scores(g, first, n, room, s.scale, scores, high);
                    weigh(g, first, n, columns, room, s.scale, high, scores);
                    for (int p = 0; p < across_width; p += PANEL)
                        tiles(0, n, scores, room, 1, values + (size_t)p * room, columns, mixed + p,
                              across_width, 1);
                    for (int r = 0; r < n; r++) {
                        vec sums = {0};
                        for (int c = 0; c < columns; c += LANES)
                            sums += *(vec *)(scores + (size_t)r * room + c);
                        float sum = total(sums), inverse = 1.0f / sum;
                        float *to = y + ((at + r) * heads + h) * width;
                        for (int d = 0; d < width; d++)
                            to[d] = mixed[(size_t)r * across_width + d] * inverse;
                        log_sums[(at + r) * heads + h] = high[r] + logf(sum);
                    }
                }
        }
}

static void add_rows(const float *from, int n, int width, size_t stride, float *to,
                     size_t to_stride) {
    for (int r = 0; r < n; r++)
        for (int d = 0; d < width; d++) to[r * to_stride + d] += from[r * stride + d];
}

/* dqkv, which holds zeros, of dy. */
void attention_backward(int32_t m, const Segment *segments, int32_t heads, int32_t kv_heads,
                        int32_t width, const float *qkv, const float *y, const float *log_sums,
                        const float *dy, float *scratch, float *dqkv) {
    const Shape s = shape_of(m, segments, heads, kv_heads, width);
    const int across_width = padded(width), room = s.room;
    const size_t block = (size_t)QUERIES * across_width, all = (size_t)room * across_width;
    float *keys = scratch, *values = keys + (size_t)room * width; /* as columns */
    float *key_rows = values + (size_t)room * width, *dkeys = key_rows + all,
          *dvalues = dkeys + all, *scores = dvalues + all,
          *dscores = scores + (size_t)QUERIES * room, *queries = dscores + (size_t)QUERIES * room,
          *dmixed = queries + block, *dqueries = dmixed + block, *least = dqueries + block;
    for (int k = 0; k < kv_heads; k++)
        for (int i = 0; i < m; i++) {
            const Segment *g = segments + i;
            const size_t key = (size_t)(heads + k) * width, value = key + kv_heads * width;
            const int context = padded(g->context_length), own = padded(g->length);
            int begins = !i || g->context_start != g[-1].context_start ||
                         g->context_length != g[-1].context_length;
            int ends = i + 1 == m || g->context_start != g[1].context_start ||
                       g->context_length != g[1].context_length;
            if (context && begins) {
                const float *at = qkv + g->context_start * s.row;
                across(at + key, s.row, g->context_length, width, 0, keys);
                across(at + value, s.row, g->context_length, width, 0, values);
                down(at + key, s.row, g->context_length, width, 0, room, key_rows);
                memset(dkeys, 0, (size_t)context * across_width * sizeof(float));
                memset(dvalues, 0, (size_t)context * across_width * sizeof(float));
            }
            const float *at = qkv + g->start * s.row;
            across(at + key, s.row, g->length, width, context, keys);
            across(at + value, s.row, g->length, width, context, values);
            down(at + key, s.row, g->length, width, context, room, key_rows);
            float *own_dkeys = dkeys + (size_t)context * across_width;
            float *own_dvalues = dvalues + (size_t)context * across_width;
            memset(own_dkeys, 0, (size_t)own * across_width * sizeof(float));
            memset(own_dvalues, 0, (size_t)own * across_width * sizeof(float));
            for (int h = k * (heads / kv_heads); h < (k + 1) * (heads / kv_heads); h++)
                for (int first = 0; first < g->length; first += QUERIES) {
                    int n = g->length - first < QUERIES ? g->length - first : QUERIES;
                    int columns = context + padded(first + n);
                    size_t row = g->start + first;
                    const float *q = qkv + row * s.row + h * width;
                    const float *d = dy + (row * heads + h) * width;
                    const float *made = y + (row * heads + h) * width;
                    size_t across_heads = (size_t)heads * width;
                    for (int c = 0; c < columns; c += PANEL) {
                        tiles(0, n, q, s.row, 1, keys + (size_t)c * width, width, scores + c, room, 1);
                        tiles(0, n, d, across_heads, 1, values + (size_t)c * width, width,
                              dscores + c, room, 1);
                    }
                    for (int r = 0; r < n; r++) least[r] = log_sums[(row + r) * heads + h];
                    weigh(g, first, n, columns, room, s.scale, least, scores);
                    for (int r = 0; r < n; r++) {
                        float along = 0;
                        for (int j = 0; j < width; j++)
                            along += d[r * across_heads + j] * made[r * across_heads + j];
                        const float *p = scores + (size_t)r * room;
                        float *to = dscores + (size_t)r * room;
                        for (int c = 0; c < columns; c += LANES)
                            *(vec *)(to + c) = *(const vec *)(p + c) *
                                               (*(vec *)(to + c) - along) * s.scale;
                    }
                    down(q, s.row, n, width, 0, QUERIES, queries);
                    down(d, across_heads, n, width, 0, QUERIES, dmixed);
                    for (int p = 0; p < across_width; p += PANEL) {
                        const float *w = queries + (size_t)p * QUERIES;
                        tiles(0, columns, dscores, 1, room, w, n, dkeys + p, across_width, 0);
                        w = dmixed + (size_t)p * QUERIES;
                        tiles(0, columns, scores, 1, room, w, n, dvalues + p, across_width, 0);
                        tiles(0, n, dscores, room, 1, key_rows + (size_t)p * room, columns,
                              dqueries + p, across_width, 1);
                    }
                    add_rows(dqueries, n, width, across_width, dqkv + row * s.row + h * width,
                             s.row);
                }
            float *to = dqkv + g->start * s.row;
            add_rows(own_dkeys, g->length, width, across_width, to + key, s.row);
            add_rows(own_dvalues, g->length, width, across_width, to + value, s.row);
            if (context && ends) {
                to = dqkv + g->context_start * s.row;
                add_rows(dkeys, g->context_length, width, across_width, to + key, s.row);
                add_rows(dvalues, g->context_length, width, across_width, to + value, s.row);
            }
        }
}
