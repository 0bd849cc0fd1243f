/* The decoder on a CPU: any number of tokens, each of its own sequence and position, through all
 * layers on one thread, with a paged cache of keys and values.
 *
 * Sampling a small model spends its time between products, not in them: each is microseconds, and a
 * framework's dispatch is, too.  So a whole step is one call, and one thread carries its rows through
 * all layers.  Threads (or processes) that have rows of their own never wait for each other.  Only
 * where the weights are larger than caches do threads form a team, that reads them once for the rows
 * of all.
 *
 * Every sum runs over its terms in one order, whatever else is in the batch and whoever computes it:
 * a row's numbers are the same, bit for bit, alone and among neighbours.
 *
 * Cache: [block][layer][keys: K x D x BLOCK | values: K x BLOCK x D], so that one vector holds a
 * dimension of BLOCK keys, and a block moves as one piece.
 *
 * A model that `rounds` has its layers' matrices, keys and values in bfloat16, two neighbours in a word
 * (of keys: dimensions; of matrices: terms).  What is multiplied is rounded, each number once, and
 * added up in float32; what a product with a matrix comes to is rounded as well, as it is in the
 * trainer.  All else is float32, the head with it.
 */

#include <sched.h>

#include "vectors.h"

#define BLOCK 16  /* positions a page of the cache */
#define QUERIES 4 /* tokens of a sequence that attend together */

typedef struct {
    const float *input_norm, *post_norm;
    const float *qkv, *qkv_bias, *q_norm, *k_norm;
    const float *o, *o_bias;
    const float *gate_up, *gate_up_bias, *down, *down_bias;
    int32_t rotary; /* whether positions are encoded here */
    int32_t window; /* how far back a token looks; 0: to the beginning */
} Layer;

typedef struct {
    int32_t num_layers, width, num_heads, num_kv_heads, head_dim, inner, vocab, rounds;
    float eps, scale; /* of norms; of scores */
    const float *embedding, *final_norm, *head, *cos, *sin;
    const Layer *layers;
} Model;

typedef struct {
    uint64_t seed;
    const int32_t *pages; /* of the cache, in the order of positions */
    int32_t *tokens;      /* what is sampled goes here, */
    float *logprobs;      /* with its log-probability in nats */
    float *entropies;     /* and the entropy of what it was drawn from */
    float temperature, top_p, min_p;
    int32_t top_k;       /* 0: all */
    int32_t token;       /* the newest, not yet in the cache */
    int32_t position;    /* its place */
    int32_t num_sampled; /* so far, the ones before this call included */
    int32_t max_tokens;
    int32_t stopped; /* 1: by a stop token, 2: at max_tokens */
    int32_t reserved;
} Row;

/* Threads that carry the same rows.  What a product or a pass over rows has to do is taken in small
 * shares, because cores are not equally fast; before the next one all meet. */
typedef struct {
    int32_t size;
    int32_t taken; /* of what is to do now */
    int32_t arrived, meeting;
    int32_t score_floats; /* of a member's own scratch */
} Team;

typedef struct {
    int from, to;
} Share;

#define ROWS_TAKEN (2 * QUERIES)
#define SPINS 4000 /* some microseconds; then others may run, as on a busy machine they must */

/* The next share of n things, at most `most` of them, or nothing: 0. */
static int take(Team *team, int n, int most, Share *mine) {
    if (team->size == 1) most = n;
    int from = __atomic_fetch_add(&team->taken, most, __ATOMIC_RELAXED);
    *mine = (Share){from, n - from < most ? n : from + most};
    return from < n;
}

/* Nobody goes on before all are here. */
static void meet(Team *team) {
    int32_t meeting = __atomic_load_n(&team->meeting, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == team->size) {
        __atomic_store_n(&team->taken, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->meeting, meeting + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int i = 0; __atomic_load_n(&team->meeting, __ATOMIC_ACQUIRE) == meeting; i++)
        if (i >= SPINS) sched_yield();
}

int32_t panel_size(void) { return PANEL; }
int32_t block_size(void) { return BLOCK; }
int32_t row_bytes(void) { return sizeof(Row); }

/* Weights (out, in) -> panels of PANEL columns: [out / PANEL][in][PANEL], zeros beyond `out`. */
void pack(const float *weight, int32_t out, int32_t in, float *packed) {
    for (int p = 0; p < padded(out) / PANEL; p++)
        for (int j = 0; j < PANEL; j++) {
            int column = p * PANEL + j;
            float *to = packed + (size_t)p * in * PANEL + j;
            for (int k = 0; k < in; k++)
                to[(size_t)k * PANEL] = column < out ? weight[(size_t)column * in + k] : 0.0f;
        }
}

/* The same as words: [out / PANEL][padded(in) / 2][PANEL], zeros beyond `out` and `in`. */
void pack_rounded(const float *weight, int32_t out, int32_t in, int32_t *packed) {
    const int words = padded(in) / 2;
    for (int column = 0; column < padded(out); column++) {
        int32_t *to = packed + (size_t)(column / PANEL) * words * PANEL + column % PANEL;
        for (int k = 0; k < padded(in); k += PANEL) {
            float panel[PANEL] = {0};
            int terms = column < out ? (in - k < PANEL ? in - k : PANEL) : 0;
            memcpy(panel, weight + (size_t)column * in + k, terms * sizeof(float));
            narrow(panel, PANEL, panel);
            for (int i = 0; i < LANES; i++)
                memcpy(to + (size_t)(k / 2 + i) * PANEL, panel + i, sizeof(int32_t));
        }
    }
}

/* ---- products ---- */

static inline __attribute__((always_inline)) void product_of(
    int rounds, const float *a, size_t a_stride, int n, int in, const float *w, const float *bias,
    Share mine, float *y, size_t y_stride) {
    const int terms = rounds ? padded(in) / 2 : in;
    for (int p = mine.from; p < mine.to; p++) {
        float *to = y + (size_t)p * PANEL;
        for (int k = 0; k < terms; k += DEPTH) {
            int depth = terms - k < DEPTH ? terms - k : DEPTH;
            const float *panel = w + ((size_t)p * terms + k) * PANEL;
            tiles(rounds, n, a + k, a_stride, 1, panel, depth, to, y_stride, k == 0);
        }
        if (bias || rounds)
            for (int r = 0; r < n; r++)
                for (int i = 0; i < PANEL; i += LANES) {
                    vec *at = (vec *)(to + r * y_stride + i);
                    if (bias) *at += *(const vec *)(bias + p * PANEL + i);
                    if (rounds) *at = rounded(*at);
                }
    }
}

/* Of y (n, out) = a (n, in) W^T + bias the columns of `mine`, in panels; y has room for whole ones.
 * `rounds`: a and w are words. */
static void product(int rounds, const float *a, size_t a_stride, int n, int in, const float *w,
                    const float *bias, Share mine, float *y, size_t y_stride) {
    if (rounds)
        product_of(1, a, a_stride, n, in, w, bias, mine, y, y_stride);
    else
        product_of(0, a, a_stride, n, in, w, bias, mine, y, y_stride);
}

/* ---- elementwise ---- */

static void rms_norm(const float *x, const float *gain, int width, float eps, float *y) {
    vec sums = {0};
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
        vec v = *(const vec *)(x + i);
        sums = fused(v, v, sums);
    }
    float s = total(sums);
    for (; i < width; i++) s += x[i] * x[i];
    float inverse = 1.0f / sqrtf(s / width + eps);
    for (i = 0; i < width; i++) y[i] = x[i] * inverse * gain[i];
}

/* A row as products take it: in words, in place, where the model rounds. */
static void as_factor(const Model *m, float *x, int width) {
    if (!m->rounds) return;
    memset(x + width, 0, (padded(width) - width) * sizeof(float));
    narrow(x, padded(width), x);
}

static void rotate(float *x, const float *cos, const float *sin, int width) {
    int half = width / 2;
    for (int i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i + half] + a * sin[i + half];
    }
}

/* silu(gate) * up of n rows' panels, in the gate's place; as words where the model rounds, and where
 * `words` has its panel. */
static void gated(const Model *m, float *gate, const float *up, size_t inner, int n, Share panels,
                  float *words) {
    for (int r = 0; r < n; r++) {
        float *g = gate + r * 2 * inner;
        const float *u = up + r * 2 * inner;
        for (int i = panels.from * PANEL; i < panels.to * PANEL; i += LANES) {
            vec x = *(vec *)(g + i);
            *(vec *)(g + i) = x / (1.0f + vexp(-vmax(x, every(-80.0f)))) * *(const vec *)(u + i);
        }
        for (int p = panels.from; p < panels.to && m->rounds; p++)
            narrow(g + p * PANEL, PANEL, words + r * inner / 2 + p * LANES);
    }
}

static void add(float *x, const float *y, int width) {
    for (int i = 0; i < width; i++) x[i] += y[i];
}

/* ---- attention ---- */

/* Of one layer, in floats or words. */
static inline size_t page_size(const Model *m) {
    return (size_t)2 * m->num_kv_heads * m->head_dim * BLOCK / (m->rounds ? 2 : 1);
}

static void remember(const Model *m, float *cache, int layer, int page_id, int place,
                     const float *keys, const float *values) {
    float *at = cache + ((size_t)page_id * m->num_layers + layer) * page_size(m);
    const int D = m->head_dim, terms = m->rounds ? D / 2 : D;
    for (int h = 0; h < m->num_kv_heads; h++) {
        float *k = at + (size_t)h * terms * BLOCK + place;
        for (int d = 0; d < terms; d++) memcpy(k + (size_t)d * BLOCK, keys + h * D + d, 4);
    }
    float *v = at + page_size(m) / 2;
    for (int h = 0; h < m->num_kv_heads; h++)
        memcpy(v + ((size_t)h * BLOCK + place) * terms, values + h * D, terms * sizeof(float));
}

static const int32_t PLACES[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

typedef struct {
    vec of[2];
} Two;

/* 2 * LANES values, as floats one half after the other, of words evens and odds. */
static inline Two two(int rounds, const float *v) {
    if (rounds) return (Two){{evens(*(const ivec *)v), odds(*(const ivec *)v)}};
    return (Two){{*(const vec *)v, *(const vec *)(v + LANES)}};
}

/* One head's queries of `rows` tokens that follow each other on one page, the first at `position`,
 * each over positions from `from` to its own: what is read of the cache is read once for all.  q, y
 * and scores (room for whole pages) have a row each.  Sums are those of a row alone. */
static inline __attribute__((always_inline)) void attend_rows(
    int rounds, int rows, const Model *m, const float *cache, int layer, const int32_t *pages,
    int from, int position, int kv_head, const float *q, size_t q_stride, float *scores, size_t score_stride,
    float *y, size_t y_stride) {
    const int D = m->head_dim, terms = rounds ? D / 2 : D;
    const int first = from / BLOCK, last = position / BLOCK, columns = (last + 1 - first) * BLOCK;
    const size_t head = (size_t)kv_head * terms * BLOCK, page = page_size(m), values = page / 2;
    vec high[QUERIES];
    for (int r = 0; r < rows; r++) high[r] = every(-INFINITY);
    for (int c = 0; c < columns; c += LANES) {
        int b = first + c / BLOCK;
        const float *k =
            cache + ((size_t)pages[b] * m->num_layers + layer) * page + head + c % BLOCK;
        vec part[QUERIES][4] = {{{0}}}; /* sums that need not wait for each other */
        int d = 0;
        for (; d + 4 <= terms; d += 4)
            for (int j = 0; j < 4; j++) {
                vec key = *(const vec *)(k + (size_t)(d + j) * BLOCK);
                for (int r = 0; r < rows; r++)
                    part[r][j] = term(rounds, q + r * q_stride + d + j, key, part[r][j]);
            }
        for (; d < terms; d++)
            for (int r = 0; r < rows; r++)
                part[r][0] = term(rounds, q + r * q_stride + d,
                                  *(const vec *)(k + (size_t)d * BLOCK), part[r][0]);
        for (int r = 0; r < rows; r++) {
            vec s = ((part[r][0] + part[r][1]) + (part[r][2] + part[r][3])) * m->scale;
            if (b == first || b == last) {
                ivec at = *(const ivec *)PLACES + first * BLOCK + c;
                ivec hidden = (at < from) | (at > position + r);
                s = (vec)((hidden & (ivec)every(-1e30f)) | (~hidden & (ivec)s));
            }
            high[r] = vmax(high[r], s);
            *(vec *)(scores + r * score_stride + c) = s;
        }
    }
    float inverse[QUERIES];
    for (int r = 0; r < rows; r++) {
        float top = highest(high[r]);
        vec sums = {0};
        for (int c = 0; c < columns; c += LANES) {
            vec *at = (vec *)(scores + r * score_stride + c);
            *at = vexp(*at - top);
            sums += *at;
        }
        inverse[r] = 1.0f / total(sums);
    }
    int i = 0;
    for (; i + 2 * LANES <= D; i += 2 * LANES) {
        vec even[QUERIES][2] = {{{0}}}, odd[QUERIES][2] = {{{0}}};
        for (int b = first; b <= last; b++) {
            const float *v = cache + ((size_t)pages[b] * m->num_layers + layer) * page + values +
                             head + (rounds ? i / 2 : i);
            const float *w = scores + (size_t)(b - first) * BLOCK;
            int t = b == first ? from % BLOCK : 0, end = b == last ? position % BLOCK + 1 : BLOCK;
            for (; t + 2 <= end; t += 2) {
                Two one = two(rounds, v + (size_t)t * terms);
                Two next = two(rounds, v + (size_t)(t + 1) * terms);
                for (int j = 0; j < 2; j++)
                    for (int r = 0; r < rows; r++) {
                        even[r][j] = fused(every(w[r * score_stride + t]), one.of[j], even[r][j]);
                        odd[r][j] = fused(every(w[r * score_stride + t + 1]), next.of[j], odd[r][j]);
                    }
            }
            for (int r = 0; r < rows; r++) { /* on the last page each sees one more */
                const float *own = w + r * score_stride;
                int at = t, until = b == last ? end + r : end;
                for (; at < until; at++) {
                    Two one = two(rounds, v + (size_t)at * terms);
                    vec(*sums)[2] = (at - t) % 2 ? &odd[r] : &even[r];
                    for (int j = 0; j < 2; j++)
                        (*sums)[j] = fused(every(own[at]), one.of[j], (*sums)[j]);
                }
            }
        }
        for (int r = 0; r < rows; r++) {
            vec mixed[2];
            for (int j = 0; j < 2; j++) mixed[j] = (even[r][j] + odd[r][j]) * inverse[r];
            if (rounds) {
                *(ivec *)(y + r * y_stride + i / 2) = words_of(mixed[0], mixed[1]);
            } else {
                *(vec *)(y + r * y_stride + i) = mixed[0];
                *(vec *)(y + r * y_stride + i + LANES) = mixed[1];
            }
        }
    }
    for (; i < D; i++)
        for (int r = 0; r < rows; r++) {
            float s = 0;
            for (int b = first; b <= last; b++) {
                const float *v =
                    cache + ((size_t)pages[b] * m->num_layers + layer) * page + values + head;
                const float *w = scores + r * score_stride + (size_t)(b - first) * BLOCK;
                int end = b == last ? position % BLOCK + 1 + r : BLOCK;
                for (int t = b == first ? from % BLOCK : 0; t < end; t++)
                    s += w[t] * number(rounds, v + (size_t)t * terms, i);
            }
            if (rounds) {
                int16_t half = rounded_half(s * inverse[r]);
                memcpy((char *)(y + r * y_stride) + 2 * i, &half, sizeof half);
            } else {
                y[r * y_stride + i] = s * inverse[r];
            }
        }
}

static int window_from(const Layer *layer, int position) {
    return layer->window && position >= layer->window ? position - layer->window + 1 : 0;
}

/* Whether rows r to r + QUERIES - 1 can attend together. */
static int are_neighbours(const Layer *layer, const int32_t *positions,
                          const int32_t *const *pages, int r) {
    int end = r + QUERIES - 1;
    for (int i = r; i < end; i++)
        if (pages[i + 1] != pages[r] || positions[i + 1] != positions[i] + 1) return 0;
    return positions[r] / BLOCK == positions[end] / BLOCK &&
           window_from(layer, positions[r]) == window_from(layer, positions[end]);
}

/* Rows [mine.from, mine.to): qkv -> mix.  Head after head of a row: they lie side by side in its pages,
 * and those of a group read the same keys. */
static void attend(const Model *m, const Layer *layer, int l, const float *cache,
                   const int32_t *positions, const int32_t *const *pages, Share mine,
                   const float *qkv, size_t q_stride, float *scores, size_t score_stride,
                   float *mix, size_t mix_stride) {
    const int D = m->head_dim, group = m->num_heads / m->num_kv_heads;
    int rows;
    for (int r = mine.from; r < mine.to; r += rows) {
        int from = window_from(layer, positions[r]);
        rows = r + QUERIES <= mine.to && are_neighbours(layer, positions, pages, r) ? QUERIES : 1;
        for (int h = 0; h < m->num_heads; h++) {
            const float *q = qkv + r * q_stride + h * D;
            float *y = mix + r * mix_stride + h * (m->rounds ? D / 2 : D);
#define CASE(words, n) \
    if (!m->rounds == !words && rows == n) \
        attend_rows(words, n, m, cache, l, pages[r], from, positions[r], h / group, q, q_stride, \
                    scores, score_stride, y, mix_stride);
            CASE(0, 1) CASE(0, QUERIES) CASE(1, 1) CASE(1, QUERIES)
#undef CASE
        }
    }
}

/* ---- the network ---- */

/* Floats of scores that one member needs whose sequences have at most `positions` positions. */
static int64_t score_floats(int32_t positions) { return QUERIES * (positions + 2 * BLOCK); }

/* Floats that `forward` needs for n rows; sets what the team needs to know of them. */
int64_t scratch_floats(const Model *m, Team *team, int32_t n, int32_t positions) {
    int64_t heads = padded((m->num_heads + 2 * m->num_kv_heads) * m->head_dim);
    team->score_floats = score_floats(positions);
    return (int64_t)n * (3 * padded(m->width) + heads + padded(m->num_heads * m->head_dim) +
                         2 * padded(m->inner) + padded(m->inner) / 2) +
           team->size * (int64_t)team->score_floats;
}

/* Tokens through all layers; hidden states (after the last norm) of all n rows, or none of them, into
 * hidden (n, padded(width)).  Rows of one sequence must come in the order of their positions. */
void forward(const Model *m, Team *team, int32_t member, int32_t n, const int32_t *tokens,
             const int32_t *positions, const int32_t *const *pages, float *cache, float *scratch,
             float *hidden) {
    const int C = m->width, H = m->num_heads, K = m->num_kv_heads, D = m->head_dim;
    const size_t width = padded(C), heads = padded((H + 2 * K) * D), mixed = padded(H * D),
                 inner = padded(m->inner);
    float *x = scratch, *normed = x + n * width, *y = normed + n * width, *qkv = y + n * width,
          *mix = qkv + n * heads, *gate = mix + n * mixed, *up = gate + inner,
          *words = gate + n * 2 * inner, /* of what gates let through */
          *scores = words + n * inner / 2 + (size_t)member * team->score_floats;
    const int rounds = m->rounds;
    Share mine;
    for (int l = 0; l < m->num_layers; l++) {
        const Layer *layer = m->layers + l;
        while (take(team, n, ROWS_TAKEN, &mine))
            for (int r = mine.from; r < mine.to; r++) {
                if (l == 0)
                    memcpy(x + r * width, m->embedding + (size_t)tokens[r] * C, C * sizeof(float));
                else
                    add(x + r * width, y + r * width, C);
                rms_norm(x + r * width, layer->input_norm, C, m->eps, normed + r * width);
                as_factor(m, normed + r * width, C);
            }
        meet(team);
        while (take(team, heads / PANEL, 1, &mine))
            product(rounds, normed, width, n, C, layer->qkv, layer->qkv_bias, mine, qkv, heads);
        meet(team);
        while (take(team, n, ROWS_TAKEN, &mine))
            for (int r = mine.from; r < mine.to; r++) {
                float *q = qkv + r * heads, *k = q + H * D, *v = k + K * D;
                if (layer->q_norm)
                    for (int h = 0; h < H; h++)
                        rms_norm(q + h * D, layer->q_norm, D, m->eps, q + h * D);
                if (layer->k_norm)
                    for (int h = 0; h < K; h++)
                        rms_norm(k + h * D, layer->k_norm, D, m->eps, k + h * D);
                if (layer->rotary)
                    for (int h = 0; h < H + K; h++)
                        rotate(q + h * D, m->cos + (size_t)positions[r] * D,
                               m->sin + (size_t)positions[r] * D, D);
                for (int h = 0; h < H + 2 * K && rounds; h++) narrow(q + h * D, D, q + h * D);
                remember(m, cache, l, pages[r][positions[r] / BLOCK], positions[r] % BLOCK, k, v);
            }
        meet(team); /* a row looks at what others remembered */
        while (take(team, n, ROWS_TAKEN, &mine)) {
            attend(m, layer, l, cache, positions, pages, mine, qkv, heads, scores,
                   team->score_floats / QUERIES, mix, mixed);
            for (int r = mine.from; r < mine.to && rounds; r++)
                memset(mix + r * mixed + H * D / 2, 0, (mixed - H * D) / 2 * sizeof(float));
        }
        meet(team);
        while (take(team, width / PANEL, 1, &mine))
            product(rounds, mix, mixed, n, H * D, layer->o, layer->o_bias, mine, y, width);
        meet(team);
        while (take(team, n, ROWS_TAKEN, &mine))
            for (int r = mine.from; r < mine.to; r++) {
                add(x + r * width, y + r * width, C);
                rms_norm(x + r * width, layer->post_norm, C, m->eps, normed + r * width);
                as_factor(m, normed + r * width, C);
            }
        meet(team);
        const float *to_gate = layer->gate_up,
                    *to_up = to_gate + inner * (rounds ? padded(C) / 2 : C);
        const float *bias = layer->gate_up_bias;
        while (take(team, inner / PANEL, 1, &mine)) {
            product(rounds, normed, width, n, C, to_gate, bias, mine, gate, 2 * inner);
            product(rounds, normed, width, n, C, to_up, bias ? bias + inner : 0, mine, up,
                    2 * inner);
            gated(m, gate, up, inner, n, mine, words);
        }
        meet(team);
        const float *factor = rounds ? words : gate;
        const size_t factors = rounds ? inner / 2 : 2 * inner;
        while (take(team, width / PANEL, 1, &mine))
            product(rounds, factor, factors, n, m->inner, layer->down, layer->down_bias, mine, y,
                    width);
        meet(team);
    }
    if (hidden)
        while (take(team, n, ROWS_TAKEN, &mine))
            for (int r = mine.from; r < mine.to; r++) {
                add(x + r * width, y + r * width, C);
                rms_norm(x + r * width, m->final_norm, C, m->eps, hidden + r * width);
            }
    meet(team);
}

/* Logits (n, padded(vocab)) of hidden states (n, padded(width)). */
void logits_of(const Model *m, Team *team, int32_t n, const float *hidden, float *logits) {
    Share mine;
    while (take(team, padded(m->vocab) / PANEL, 1, &mine))
        product(0, hidden, padded(m->width), n, m->width, m->head, 0, mine, logits,
                padded(m->vocab));
    meet(team);
}

/* ---- sampling ---- */

static inline uint64_t mixed64(uint64_t z) { /* SplitMix64's finaliser */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t seed, int32_t place) { /* as engine/randomness.py */
    uint64_t state = mixed64(seed) + 0x9E3779B97F4A7C15u * (uint64_t)(place + 1);
    return (double)(mixed64(state) >> 11) * 0x1p-53;
}

#define CHUNK (16 * LANES)

/* How many of `e` (room, none negative) are at least `least`, or, with `weigh`, what they sum to. */
static double above(const float *e, int room, float least, int weigh) {
    double sum = 0;
    for (int c = 0; c < room; c += CHUNK) {
        vec sums = {0};
        for (int i = c; i < c + CHUNK && i < room; i += LANES) {
            vec x = *(const vec *)(e + i), one = every(1.0f);
            if (weigh) one = x;
            sums += (vec)((ivec)one & (x >= least));
        }
        sum += total(sums);
    }
    return sum;
}

/* The largest number that at least `wanted` of `e` (or of their sum) lie on or above.  Floats that
 * are not negative are ordered as their bits are. */
static float threshold(const float *e, int room, double wanted, int weigh) {
    uint32_t low = 0, high = 0x3f800000u; /* 0 to 1, the highest of e */
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        float least;
        memcpy(&least, &middle, 4);
        if (above(e, room, least, weigh) >= wanted)
            low = middle;
        else
            high = middle - 1;
    }
    float found;
    memcpy(&found, &low, 4);
    return found;
}

/* What tops and minima leave of e, the rest set to 0: first the top_k highest, then of these the
 * fewest that hold top_p, then what is at least min_p times the highest; equals stay together. */
static void keep_likely(float *e, int room, const Row *row) {
    float least = row->min_p; /* the highest is 1 */
    if (row->top_k > 0) {
        float t = threshold(e, room, row->top_k, 0);
        for (int i = 0; i < room; i++) e[i] = e[i] >= t ? e[i] : 0;
    }
    if (row->top_p < 1) {
        float t = threshold(e, room, row->top_p * above(e, room, 0, 1), 1);
        least = t > least ? t : least;
    }
    for (int i = 0; i < room; i++) e[i] = e[i] >= least ? e[i] : 0;
}

/* A token by inverse transform from what the row's settings leave of softmax(logits); its
 * log-probability and that distribution's entropy, nats.  logits (padded(vocab)) are overwritten.
 * The sums of chunks, then those within the chosen one, are what a chance in [0, 1) is looked up
 * in. */
static int draw(float *logits, int vocab, const Row *row, double chance, float *logprob,
                float *entropy) {
    const int room = padded(vocab);
    for (int i = vocab; i < room; i++) logits[i] = -1e30f;
    vec high = every(-INFINITY), doubt = {0}; /* not 0 where a logit is not finite */
    for (int i = 0; i < room; i += LANES) {
        high = vmax(high, *(vec *)(logits + i));
        doubt += *(vec *)(logits + i) * 0.0f;
    }
    if (total(doubt) != 0) {
        *logprob = *entropy = NAN;
        return 0;
    }
    const float top = highest(high);
    if (row->temperature == 0) { /* all of it on the first of the highest */
        *logprob = *entropy = 0;
        for (int i = 0; i < vocab; i++)
            if (logits[i] == top) return i;
    }
    const float inverse = 1.0f / row->temperature;
    vec mean = {0}; /* of e log e */
    for (int i = 0; i < room; i += LANES) {
        vec s = vmax((*(vec *)(logits + i) - top) * inverse, every(-80.0f)), e = vexp(s);
        mean = fused(e, s, mean);
        *(vec *)(logits + i) = e;
    }
    for (int i = vocab; i < room; i++) logits[i] = 0;
    double weighted = total(mean);
    if (row->top_k > 0 || row->top_p < 1 || row->min_p > 0) {
        keep_likely(logits, room, row);
        weighted = 0;
        for (int i = 0; i < vocab; i++)
            if (logits[i] > 0) weighted += logits[i] * logf(logits[i]);
    }
    double sum = above(logits, room, 0, 1);
    double target = chance * sum, reached = 0;
    int chosen = -1;
    for (int c = 0; c < room && chosen < 0; c += CHUNK) {
        vec sums = {0};
        for (int i = c; i < c + CHUNK && i < room; i += LANES) sums += *(vec *)(logits + i);
        double beyond = reached + total(sums);
        if (beyond <= target && c + CHUNK < room) {
            reached = beyond;
            continue;
        }
        int end = c + CHUNK < vocab ? c + CHUNK : vocab;
        for (int i = c; i < end; i++) {
            if (logits[i] > 1e-30f || chosen < 0) chosen = i;
            reached += logits[i];
            if (reached > target) break;
        }
    }
    *logprob = logf(logits[chosen]) - (float)log(sum);
    *entropy = (float)(log(sum) - weighted / sum);
    return chosen;
}

static int is_stop(int32_t token, const int32_t *stops, int32_t num_stops) {
    for (int i = 0; i < num_stops; i++)
        if (stops[i] == token) return 1;
    return 0;
}

/* Floats that `decode` needs beyond `scratch_floats`. */
int64_t decode_floats(const Model *m, int32_t n) {
    return (int64_t)n * (padded(m->width) + padded(m->vocab));
}

/* Up to num_steps tokens for each of n rows whose pages reach so far; a row that stops leaves.  The
 * four last arrays are of n, are overwritten, and are each member's own; all else is the team's.
 * Returns how many tokens were drawn. */
int64_t decode(const Model *m, Team *team, int32_t member, Row *rows, int32_t n, int32_t num_steps,
               const int32_t *stops, int32_t num_stops, float *cache, float *scratch, float *more,
               int32_t *tokens, int32_t *positions, const int32_t **pages, int32_t *which) {
    const size_t vocab = padded(m->vocab);
    float *hidden = more, *logits = more + (size_t)n * padded(m->width);
    int64_t drawn = 0;
    for (int step = 0; step < num_steps; step++) {
        int live = 0;
        for (int r = 0; r < n; r++)
            if (!rows[r].stopped) {
                tokens[live] = rows[r].token;
                positions[live] = rows[r].position;
                pages[live] = rows[r].pages;
                which[live++] = r;
            }
        if (!live) break;
        forward(m, team, member, live, tokens, positions, pages, cache, scratch, hidden);
        logits_of(m, team, live, hidden, logits);
        Share mine;
        while (take(team, live, ROWS_TAKEN, &mine))
            for (int i = mine.from; i < mine.to; i++) {
                Row *row = rows + which[i];
                int at = row->num_sampled;
                row->token = draw(logits + i * vocab, m->vocab, row, uniform(row->seed, at),
                                  row->logprobs + at, row->entropies + at);
                row->tokens[at] = row->token;
                row->num_sampled = at + 1;
                row->position++;
                row->stopped = is_stop(row->token, stops, num_stops) ? 1
                               : row->num_sampled == row->max_tokens ? 2 : 0;
            }
        drawn += live;
        meet(team);
    }
    return drawn;
}
