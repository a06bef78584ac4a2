/* What some of the loops take in C: the limit that a compiler of array programs can be held against. */

#include <math.h>
#include <stdint.h>

void lorenz(const float *start, float *out, int steps) {
    float x = start[0], y = start[1], z = start[2], h = 1e-3f;
    for (int t = 0; t < steps; t++) {
        float dx = 10.0f * (y - x), dy = x * (28.0f - z) - y, dz = x * y - 2.5f * z;
        x += h * dx;
        y += h * dy;
        z += h * dz;
    }
    out[0] = x, out[1] = y, out[2] = z;
}

void rnn(const float *start, const float *w, float *h, int steps) {
    float next[8][32];
    for (int i = 0; i < 8 * 32; i++) h[i] = start[i];
    for (int t = 0; t < steps; t++) {
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 32; j++) next[i][j] = 0.0f;
        for (int i = 0; i < 8; i++)
            for (int k = 0; k < 32; k++)
                for (int j = 0; j < 32; j++) next[i][j] += h[i * 32 + k] * w[k * 32 + j];
        for (int i = 0; i < 8 * 32; i++) h[i] = tanhf(next[i / 32][i % 32]);
    }
}

void bodies(const float *place, const float *speed, float *p, int steps) {
    float v[8][3], h = 1e-3f;
    for (int i = 0; i < 24; i++) p[i] = place[i], v[i / 3][i % 3] = speed[i];
    for (int t = 0; t < steps; t++) {
        for (int i = 0; i < 8; i++) {
            float a[3] = {0.0f, 0.0f, 0.0f};
            for (int j = 0; j < 8; j++) {
                float d[3], r = 1e-2f;
                for (int k = 0; k < 3; k++) d[k] = p[j * 3 + k] - p[i * 3 + k], r += d[k] * d[k];
                float w = 1.0f / (r * sqrtf(r));
                for (int k = 0; k < 3; k++) a[k] += d[k] * w;
            }
            for (int k = 0; k < 3; k++) v[i][k] += h * a[k];
        }
        for (int i = 0; i < 24; i++) p[i] += h * v[i / 3][i % 3];
    }
}

void collatz(const uint32_t *start, int32_t *count, int size) {
    for (int i = 0; i < size; i++) {
        uint32_t n = start[i];
        int32_t steps = 0;
        for (; n != 1; steps++) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
        count[i] = steps;
    }
}
