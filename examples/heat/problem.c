#include "problem.h"

#include <math.h>
#include <stdlib.h>

static int64_t width(const heat_block* block) { return block->columns + 2; }

double* heat_cell(const heat_block* block, int64_t i, int64_t j) {
  return block->temperature + (i + 1) * width(block) + (j + 1);
}

/* A disc of radius 0.15 n around (0.4 n, 0.6 n), in integers so that every language agrees. */
static int is_heated(int64_t n, int64_t i, int64_t j) {
  const int64_t y = 10 * i + 5 - 4 * n, x = 10 * j + 5 - 6 * n;
  return 4 * (y * y + x * x) <= 9 * n * n;
}

/* A warm rectangle, so that a field that is mirrored or transposed is not the same field. */
static double initial(int64_t n, int64_t i, int64_t j) {
  return 10 * i >= 6 * n && 10 * i < 8 * n && 10 * j >= n && 10 * j < 4 * n ? 4.0 : 0.0;
}

int heat_block_init(heat_block* block, int64_t size, int64_t row, int64_t rows, int64_t column,
                    int64_t columns) {
  const size_t cells = (size_t)(rows * columns);
  const size_t framed = (size_t)((rows + 2) * (columns + 2));
  block->size = size;
  block->rows = rows;
  block->columns = columns;
  block->row = row;
  block->column = column;
  block->temperature = calloc(framed, sizeof(double));
  block->next = calloc(framed, sizeof(double));
  block->flux = calloc(cells, sizeof(float));
  block->is_heated = calloc(cells, 1);
  if (!block->temperature || !block->next || !block->flux || !block->is_heated) {
    heat_block_free(block);
    return -1;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      *heat_cell(block, i, j) = initial(size, row + i, column + j);
      block->is_heated[i * columns + j] = (unsigned char)is_heated(size, row + i, column + j);
    }
  }
  return 0;
}

void heat_block_free(heat_block* block) {
  free(block->temperature);
  free(block->next);
  free(block->flux);
  free(block->is_heated);
  block->temperature = block->next = NULL;
  block->flux = NULL;
  block->is_heated = NULL;
}

void heat_substep(heat_block* block, int source_is_on) {
  const int64_t w = width(block);
  for (int64_t i = 0; i < block->rows; ++i) {
    const double* t = heat_cell(block, i, 0);
    const unsigned char* heated = block->is_heated + i * block->columns;
    double* next = block->next + (i + 1) * w + 1;
    for (int64_t j = 0; j < block->columns; ++j) {
      const double around = (t[j - w] + t[j + w]) + (t[j - 1] + t[j + 1]);
      next[j] = t[j] + HEAT_DIFFUSION * (around - 4.0 * t[j]);
      if (source_is_on && heated[j]) next[j] = next[j] + HEAT_SOURCE_RATE;
    }
  }
  double* temperature = block->next;
  block->next = block->temperature;
  block->temperature = temperature;
}

void heat_flux(heat_block* block) {
  const int64_t w = width(block);
  for (int64_t i = 0; i < block->rows; ++i) {
    const double* t = heat_cell(block, i, 0);
    float* flux = block->flux + i * block->columns;
    for (int64_t j = 0; j < block->columns; ++j) {
      const double y = 0.5 * (t[j + w] - t[j - w]), x = 0.5 * (t[j + 1] - t[j - 1]);
      flux[j] = (float)sqrt(y * y + x * x);
    }
  }
}
