/* A simulation of one rank: three timesteps of an array of 2 x 3 elements, element i of timestep t
 * is 1000000 t + i. */
#include <deisa/deisa.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  double temperature[2][3];
  const int64_t shape[2] = {2, 3}, chunks[2] = {1, 1}, position[2] = {0, 0};
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  deisa_bridge* bridge = NULL;
  deisa_error error;
  int64_t step;
  int i;

  if (strcmp(deisa_version(), DEISA_VERSION) != 0) return 2;
  if (deisa_open(&options, &bridge, &error) < 0) goto failed;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  if (deisa_define(bridge, "temperature", &layout, &error) < 0) goto failed;
  if (deisa_ready(bridge, &error) < 0) goto failed;
  for (step = 0; step < 3; ++step) {
    for (i = 0; i < 6; ++i) temperature[i / 3][i % 3] = 1e6 * (double)step + i;
    if (deisa_send(bridge, "temperature", temperature, step, &error) < 0) goto failed;
  }
  if (deisa_close(&bridge, 3, &error) < 0) goto failed;
  puts("done");
  return 0;

failed:
  fprintf(stderr, "%s\n", error.message);
  deisa_abandon(&bridge);
  return 1;
}
