#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: heat [--size CELLS] [--steps STEPS] [--pace SECONDS] [--comm mpi|gloo] [--report "
    "FILE]\n";

static int read_integer(const char* text, int64_t least, int64_t most, int64_t* value) {
  char* end;
  errno = 0;
  const long long number = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || number < least || number > most) return -1;
  *value = number;
  return 0;
}

static int read_seconds(const char* text, double* value) {
  char* end;
  errno = 0;
  const double number = strtod(text, &end);
  if (errno != 0 || end == text || *end != '\0' || !isfinite(number) || number < 0.0) return -1;
  *value = number;
  return 0;
}

int heat_options_read(int argc, char** argv, int speaks, heat_options* options) {
  *options = (heat_options){256, 20, 0.0, 0, NULL};
  for (int a = 1; a < argc; a += 2) {
    const char* name = argv[a];
    const char* value = a + 1 < argc ? argv[a + 1] : "";
    int bad = 0;
    if (strcmp(name, "--size") == 0) {
      bad = read_integer(value, 1, 30000, &options->size);
    } else if (strcmp(name, "--steps") == 0) {
      bad = read_integer(value, 1, 1000000000, &options->steps);
    } else if (strcmp(name, "--pace") == 0) {
      bad = read_seconds(value, &options->pace);
    } else if (strcmp(name, "--comm") == 0) {
      options->without_mpi = strcmp(value, "gloo") == 0;
      bad = !options->without_mpi && strcmp(value, "mpi") != 0;
    } else if (strcmp(name, "--report") == 0) {
      options->report = value;
      bad = *value == '\0';
    } else {
      if (speaks) fprintf(stderr, "heat: unknown option %s\n%s", name, usage);
      return -1;
    }
    if (bad) {
      if (speaks) fprintf(stderr, "heat: '%s' is no value for %s\n%s", value, name, usage);
      return -1;
    }
  }
  return 0;
}
