/* One rank that does what its standard input says, a call per line, and prints what each returned:
 *
 *   open | define JSON | ready | flush | begin T | end | close T | abandon | quit | statistics
 *   abandon_step
 *   send NAME T COUNT VALUE | loan NAME T COUNT VALUE (sends a loan) | put NAME COUNT VALUE
 *   get KEY T FLAGS [WAIT] (FLAGS: 1 collective, 2 chunked, 4 all) | reads KEY N | delete KEY | fork | fork_and_stay | floating
 *
 * A chunk of COUNT doubles holds VALUE, VALUE + 1, ... Options come from DEISA_* variables. After
 * each call, a line of JSON: {"call", "status", "rank", "timestep", "array", "message", "seconds"}.
 * The "message" of `statistics` has counters, that of `floating` the main thread's floating-point environment; `get` has "value" too, as value_text.h says it. */
#define _GNU_SOURCE /* fegetexcept */
#include <deisa/deisa.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "value_text.h"

static double chunk[1 << 18];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void print_text(const char* key, const char* text) {
  printf(", \"%s\": \"", key);
  for (; *text != '\0'; ++text) {
    const unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\') {
      printf("\\%c", byte);
    } else if (byte < ' ') {
      printf("\\u%04x", byte);
    } else {
      putchar(byte);
    }
  }
  putchar('"');
}

static void print_result(const char* call, deisa_status status, const deisa_error* error,
                         double seconds, const char* value) {
  printf("{\"status\": %d, \"seconds\": %.6f", (int)status, seconds);
  print_text("call", call);
  print_text("message", error->message);
  print_text("array", error->array);
  if (value != NULL) print_text("value", value);
  printf(", \"rank\": %d, \"timestep\": %lld}\n", error->rank, (long long)error->timestep);
}

/* How this thread computes, without the exceptions that have occurred. */
static void floating_text(char* text, size_t size) {
  unsigned registers = 0, words = 0;
#ifdef __x86_64__
  fenv_t environment;
  fegetenv(&environment);
  registers = environment.__mxcsr & ~0x3fu;
  words = environment.__control_word;
#endif
  snprintf(text, size, "rounding %#x, traps %#x, mxcsr %#x, x87 %#x", (unsigned)fegetround(),
           (unsigned)fegetexcept(), registers, words);
}

/* Fills in the chunk and returns it. */
static const double* values(long count, double value) {
  for (long i = 0; i < count && i < (long)(sizeof(chunk) / sizeof(chunk[0])); ++i) {
    chunk[i] = value + (double)i;
  }
  return chunk;
}

/* Reads a value `count` times, each time with its contents. */
static deisa_status read_often(deisa_bridge* bridge, const char* key, long count,
                               deisa_error* error) {
  const deisa_value* value = NULL;
  deisa_status status = DEISA_OK;
  for (long i = 0; i < count && status == DEISA_OK; ++i) {
    status = deisa_get(bridge, key, NULL, &value, error);
  }
  return status;
}

int main(void) {
  static char line[1 << 16];
  deisa_bridge* bridge = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof(line), stdin) != NULL) {
    char call[16] = "", name[512] = "";
    long long timestep = 0;
    long count = 0;
    double value = 0;
    int flags = 0;
    char* text = NULL; /* of the value that was read */
    deisa_error error = {.rank = -1, .timestep = DEISA_NO_TIMESTEP};
    deisa_status status = DEISA_OK;
    line[strcspn(line, "\n")] = '\0';
    sscanf(line, "%15s", call);
    const double start = now();
    if (strcmp(call, "open") == 0) {
      status = deisa_open(NULL, &bridge, &error);
    } else if (strcmp(call, "define") == 0) {
      status = deisa_define_json(bridge, line + strlen("define "), &error);
    } else if (strcmp(call, "ready") == 0) {
      status = deisa_ready(bridge, &error);
    } else if (sscanf(line, "send %511s %lld %ld %lf", name, &timestep, &count, &value) == 4) {
      status = deisa_send(bridge, name, values(count, value), timestep, &error);
    } else if (sscanf(line, "loan %511s %lld %ld %lf", name, &timestep, &count, &value) == 4) {
      void* memory = NULL;
      deisa_source source = DEISA_SOURCE_INIT;
      source.loan = &memory;
      status = deisa_loan(bridge, name, &memory, NULL, &error);
      if (status == DEISA_OK) {
        memcpy(memory, values(count, value), (size_t)count * sizeof(double));
        status = deisa_send_from(bridge, name, &source, timestep, NULL, &error);
      }
    } else if (sscanf(line, "put %511s %ld %lf", name, &count, &value) == 3) {
      status = deisa_put(bridge, name, values(count, value), &error);
    } else if (sscanf(line, "begin %lld", &timestep) == 1) {
      status = deisa_begin_step(bridge, timestep, &error);
    } else if (strcmp(call, "abandon_step") == 0) {
      status = deisa_abandon_step(bridge, &error);
    } else if (strcmp(call, "end") == 0) {
      status = deisa_end_step(bridge, NULL, &error);
    } else if (strcmp(call, "flush") == 0) {
      status = deisa_flush(bridge, &error);
    } else if (sscanf(line, "close %lld", &timestep) == 1) {
      status = deisa_close(&bridge, timestep, &error);
    } else if (sscanf(line, "get %511s %lld %d %lf", name, &timestep, &flags, &value) >= 3) {
      const deisa_value* found = NULL;
      deisa_get_options options = DEISA_GET_OPTIONS_INIT;
      options.timestep = timestep;
      options.collective = flags & 1;
      options.chunked = flags & 2;
      options.all = flags & 4;
      options.wait = value;
      status = deisa_get(bridge, name, &options, &found, &error);
      if (status == DEISA_OK) {
        size_t length = 0;
        FILE* memory = open_memstream(&text, &length);
        if (memory == NULL) return 3;
        print_value(memory, found);
        fclose(memory);
      }
    } else if (sscanf(line, "reads %511s %ld", name, &count) == 2) {
      status = read_often(bridge, name, count, &error);
    } else if (sscanf(line, "delete %511s", name) == 1) {
      status = deisa_delete(bridge, name, &error);
    } else if (strcmp(call, "statistics") == 0) {
      deisa_statistics now = {.struct_size = sizeof(now)};
      status = deisa_get_statistics(bridge, &now, &error);
      snprintf(error.message, sizeof(error.message), "%lld sent, %lld skipped, blocked %.3f s",
               (long long)now.steps_sent, (long long)now.steps_skipped, now.seconds_blocked);
    } else if (strcmp(call, "floating") == 0) {
      floating_text(error.message, sizeof(error.message));
    } else if (strcmp(call, "fork") == 0) {
      /* A child that leaves at once; its exit status is that of the call. */
      const pid_t child = fork();
      if (child == 0) {
        deisa_abandon(&bridge);
        exit(0);
      }
      int ended = -1;
      waitpid(child, &ended, 0);
      status = (deisa_status)ended;
    } else if (strcmp(call, "fork_and_stay") == 0) {
      /* A child that stays until it is killed; its process number is the message. */
      const pid_t child = fork();
      if (child == 0) {
        for (int fd = 0; fd < 3; ++fd) close(fd);
        for (;;) pause();
      }
      snprintf(error.message, sizeof(error.message), "%d", (int)child);
    } else if (strcmp(call, "abandon") == 0) {
      deisa_abandon(&bridge);
    } else if (strcmp(call, "quit") == 0) {
      return 0;
    } else {
      fprintf(stderr, "unknown call: %s\n", line);
      return 2;
    }
    print_result(call, status, &error, now() - start, text);
    free(text);
  }
  deisa_abandon(&bridge);
  return 0;
}
