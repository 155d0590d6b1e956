/* Each row of docs/languages.md in C, against the libdeisa of native/bridge/testing/fake_library.cc: prints
 * "row NAME" for each that did what it must. The arrays are of shape (2, 3), element (i, j) is 10 i + j; what
 * was sent is compared by tests/test_languages.py. */
#include <deisa/deisa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static deisa_bridge* bridge;
static deisa_error error;
static int reported;

static void expect(int holds, const char* row) {
  if (holds) return;
  printf("%s: %s\n", row, error.message);
  exit(1);
}

static void done(const char* row) { printf("row %s\n", row); }

static void handle(void* count, const deisa_error* failure) {
  if (failure->status == DEISA_ERROR_RESOURCE) ++*(int*)count;
}

static const int64_t shape[] = {2, 3}, one[] = {1, 1}, zero[] = {0, 0};

static void define(const char* name, deisa_dtype dtype, deisa_order order, const int64_t* halo) {
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.dtype = dtype;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = one;
  layout.chunk_position = zero;
  layout.order = order;
  layout.halo_before = halo;
  layout.halo_after = halo;
  expect(deisa_define(bridge, name, &layout, &error) == DEISA_OK, name);
}

static void feedback(void) {
  deisa_get_options options = DEISA_GET_OPTIONS_INIT;
  const deisa_value* value = NULL;
  double number = 0;
  int64_t integer = 0;
  deisa_get_double(bridge, "number", NULL, &number, &error);
  expect(number == 2.5, "number");
  done("number");
  deisa_get_int64(bridge, "integer", NULL, &integer, &error);
  expect(integer == -7, "integer");
  done("integer");
  deisa_get(bridge, "logical", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_BOOL && value->integer == 1, "logical");
  done("logical");
  deisa_get(bridge, "text", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_STRING && strcmp(value->data, "h\xc3\xa9") == 0, "text");
  done("text");
  deisa_get(bridge, "array", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_ARRAY && value->shape[1] == 3, "array");
  expect(((const double*)value->data)[5] == 5, "array");
  done("NumPy array");
  deisa_get(bridge, "tree", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_MAP && value->items[0].items[1].kind == DEISA_VALUE_NULL,
         "tree");
  deisa_get(bridge, "bytes", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_BYTES && value->size == 3, "bytes");
  deisa_get(bridge, "most", NULL, &value, &error);
  expect(value->kind == DEISA_VALUE_UNSIGNED && value->unsigned_integer == UINT64_MAX, "most");
  done("any value");
  options.timestep = 3;
  options.wait = 20;
  deisa_get_double(bridge, "gain", &options, &number, &error);
  expect(number == 0.25, "timestep");
  done("timestep and wait");
  options.collective = 1;
  deisa_get_double(bridge, "gain", &options, &number, &error);
  expect(number == 0.25, "collective");
  done("collective");
  options = (deisa_get_options)DEISA_GET_OPTIONS_INIT;
  options.all = 1;
  deisa_get(bridge, "gain", &options, &value, &error);
  expect(value->size == 2 && value->items[1].items[0].integer == 3, "all");
  done("all kept values");
  number = -1;
  expect(deisa_delete(bridge, "number", &error) == DEISA_OK, "delete");
  expect(deisa_get_double(bridge, "number", NULL, &number, &error) == DEISA_NOT_FOUND, "delete");
  expect(number == -1, "delete");
  done("delete");
}

int main(void) {
  const int64_t halo[] = {1, 1};
  double block[4][5], sparse[2][6], chunk[2][3], turned[3][2];
  uint16_t numbers[2][3];
  deisa_options options = DEISA_OPTIONS_INIT;
  const char* const settings[] = {"max_in_flight=3", NULL};
  options.settings = settings;
  options.error_handler = handle;
  options.error_handler_data = &reported;
  expect(deisa_open(&options, &bridge, &error) == DEISA_OK, "open");
  define("written-halo", DEISA_FLOAT64, DEISA_ORDER_C, halo);
  define("written-order", DEISA_FLOAT64, DEISA_ORDER_FORTRAN, NULL);
  deisa_layout by_start = DEISA_LAYOUT_INIT;
  by_start.ndim = 2;
  by_start.chunk_shape = by_start.global_shape = shape;
  by_start.start = zero;
  expect(deisa_define(bridge, "written-start", &by_start, &error) == DEISA_OK, "start");
  deisa_layout joined = by_start;
  joined.aggregate = "all";
  expect(deisa_define(bridge, "written-aggregate", &joined, &error) == DEISA_ERROR_ARGUMENT,
         "aggregate");
  joined.aggregate = "node";
  expect(deisa_define(bridge, "written-aggregate", &joined, &error) == DEISA_OK, "aggregate");
  const char* plain[] = {"strides", "loan", "asynchronous", "steps", "arrow"};
  char name[64];
  for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); ++i) {
    snprintf(name, sizeof(name), "written-%s", plain[i]);
    define(name, DEISA_FLOAT64, DEISA_ORDER_C, NULL);
  }
  define("written-unsigned", DEISA_UINT16, DEISA_ORDER_C, NULL);
  expect(deisa_ready(bridge, &error) == DEISA_OK, "ready");
  memset(block, 0xff, sizeof(block));
  memset(sparse, 0xff, sizeof(sparse));
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      block[i + 1][j + 1] = sparse[i][2 * j] = chunk[i][j] = turned[j][i] = 10 * i + j;
      numbers[i][j] = (uint16_t)(65500 + 10 * i + j);
    }
  }

  expect(deisa_send(bridge, "written-start", chunk, 0, &error) == DEISA_OK, "start");
  done("start");
  expect(deisa_send(bridge, "written-aggregate", chunk, 0, &error) == DEISA_OK, "aggregate");
  done("aggregate");
  done("settings as text"); /* a wrong one is refused: see settings_test.cc */
  expect(deisa_send(bridge, "written-halo", block, 0, &error) == DEISA_OK, "halo");
  done("halo");
  expect(deisa_send(bridge, "written-order", turned, 0, &error) == DEISA_OK, "order");
  done("order");
  const int64_t strides[] = {sizeof(sparse[0]), 2 * sizeof(double)};
  deisa_source source = DEISA_SOURCE_INIT;
  source.data = sparse;
  source.dtype = DEISA_FLOAT64;
  source.ndim = 2;
  source.shape = shape;
  source.strides = strides;
  expect(deisa_send_from(bridge, "written-strides", &source, 0, NULL, &error) == DEISA_OK,
         "strides");
  done("strides");
  void* loan = NULL;
  expect(deisa_loan(bridge, "written-loan", &loan, NULL, &error) == DEISA_OK, "loan");
  memcpy(loan, chunk, sizeof(chunk));
  source = (deisa_source)DEISA_SOURCE_INIT;
  source.loan = &loan;
  expect(deisa_send_from(bridge, "written-loan", &source, 0, NULL, &error) == DEISA_OK, "loan");
  done("loan");
  deisa_request request = 0;
  source = (deisa_source)DEISA_SOURCE_INIT;
  source.data = chunk;
  expect(deisa_send_from(bridge, "written-asynchronous", &source, 0, &request, &error) == DEISA_OK,
         "asynchronous");
  expect(request != 0 && deisa_wait(bridge, &request, &error) == DEISA_OK, "asynchronous");
  done("asynchronous");
  expect(deisa_send(bridge, "written-unsigned", numbers, 0, &error) == DEISA_OK, "unsigned");
  done("unsigned types");
  struct ArrowArray array;
  struct ArrowSchema schema;
  memcpy(loan, chunk, sizeof(chunk));
  expect(deisa_export(bridge, "written-loan", &array, &schema, &error) == DEISA_OK, "export");
  done("Arrow out");
  source = (deisa_source)DEISA_SOURCE_INIT;
  source.array = &array;
  source.schema = &schema;
  expect(deisa_send_from(bridge, "written-arrow", &source, 0, NULL, &error) == DEISA_OK, "arrow");
  expect(array.release == NULL && schema.release == NULL, "arrow");
  done("Arrow in");
  expect(deisa_begin_step(bridge, 1, &error) == DEISA_OK, "steps");
  expect(deisa_put(bridge, "written-steps", chunk, &error) == DEISA_OK, "steps");
  expect(deisa_end_step(bridge, NULL, &error) == DEISA_OK, "steps");
  done("steps");
  expect(deisa_begin_step(bridge, 2, &error) == DEISA_OK, "abandon a step");
  expect(deisa_put(bridge, "written-steps", chunk, &error) == DEISA_OK, "abandon a step");
  expect(deisa_abandon_step(bridge, &error) == DEISA_OK, "abandon a step");
  done("abandoned step");
  /* The node actor refuses this timestep. */
  expect(deisa_send(bridge, "written-steps", chunk, 66, &error) >= 0, "error handler");
  expect(deisa_flush(bridge, &error) >= 0 && reported == 1, "error handler");
  done("error handler");
  feedback();
  deisa_statistics now = DEISA_STATISTICS_INIT;
  expect(deisa_get_statistics(bridge, &now, &error) == DEISA_OK, "statistics");
  expect(now.chunks_sent == 11 && now.chunks_failed == 1 && now.steps_skipped == 1, "statistics");
  done("statistics");
  expect(deisa_close(&bridge, 100, &error) == DEISA_OK, "close");
  return 0;
}
