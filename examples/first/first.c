#include <deisa/deisa.h>
#include <stdio.h>

int main(void) {
  double temperature[4][6]; /* this rank's chunk; here the whole array */
  const int64_t shape[2] = {4, 6}, chunks[2] = {1, 1}, position[2] = {0, 0};
  deisa_error error;

  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_bridge* bridge = NULL;
  if (deisa_open(&options, &bridge, &error) < 0) goto failed;

  deisa_layout layout = DEISA_LAYOUT_INIT; /* float64 */
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  if (deisa_define(bridge, "temperature", &layout, &error) < 0) goto failed;
  if (deisa_ready(bridge, &error) < 0) goto failed; /* waits for the analytics */

  for (int64_t step = 0; step < 10; ++step) {
    for (int i = 0; i < 24; ++i) (&temperature[0][0])[i] = (double)(100 * step + i);
    if (deisa_send(bridge, "temperature", temperature, step, &error) < 0) goto failed;
  }
  if (deisa_close(&bridge, 10, &error) < 0) goto failed;
  return 0;

failed:
  fprintf(stderr, "%s: %s\n", deisa_status_string(error.status), error.message);
  deisa_abandon(&bridge);
  return 1;
}
