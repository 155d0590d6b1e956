/* A host that loads the library when it needs it, as a plug-in does:
 *
 *   unload LIBRARY close   three times: dlopen, a session of three timesteps, dlclose
 *   unload LIBRARY exec    executes itself in the middle of a session; what comes then says what
 *                          is left of it
 *
 * Ends with "done" and status 0 when all went as it must. */
#include <deisa/deisa.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 3, STEPS = 3 };

static void fail(const char* what, const char* why) {
  printf("failed: %s: %s\n", what, why);
  exit(1);
}

static void check(const char* call, deisa_status status, const deisa_error* error) {
  if (status < 0) fail(call, error->message);
}

static void* find(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == NULL) fail(name, dlerror());
  return found;
}

/* Its functions, by name. */
#define CALL(name) (*(__extension__(__typeof__(&name)) find(library, #name)))

static deisa_bridge* begin(void* library) {
  const int64_t shape = 4, chunks = 1, position = 0;
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  deisa_bridge* bridge = NULL;
  deisa_error error;
  options.error_mode = DEISA_ERRORS_RETURN;
  check("open", CALL(deisa_open)(&options, &bridge, &error), &error);
  layout.ndim = 1;
  layout.chunk_shape = &shape;
  layout.nb_chunks_per_dim = &chunks;
  layout.chunk_position = &position;
  check("define", CALL(deisa_define)(bridge, "t", &layout, &error), &error);
  check("ready", CALL(deisa_ready)(bridge, &error), &error);
  return bridge;
}

static void send_step(void* library, deisa_bridge* bridge, int64_t step) {
  const double chunk[4] = {(double)step, 1, 2, 3};
  deisa_error error;
  check("send", CALL(deisa_send)(bridge, "t", chunk, step, &error), &error);
}

/* Standard input, output and error, and the folder that is looked at. */
static int count_files(void) {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  if (folder == NULL) fail("/proc/self/fd", "cannot be opened");
  for (const struct dirent* one; (one = readdir(folder)) != NULL;) count += one->d_name[0] != '.';
  closedir(folder);
  return count - 1;
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (argc != 3) fail("arguments", "unload LIBRARY close|exec");
  if (strcmp(argv[2], "after") == 0) {
    char socket[64]; /* of a node actor in this process, which could not remove it */
    snprintf(socket, sizeof(socket), "/tmp/deisa-fake-%d-0", (int)getpid());
    unlink(socket);
    printf("%d files\ndone\n", count_files());
    return 0;
  }
  for (int round = 0; round < ROUNDS; ++round) {
    deisa_error error;
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) fail("dlopen", dlerror());
    deisa_bridge* bridge = begin(library);
    for (int64_t step = 0; step < STEPS; ++step) send_step(library, bridge, step);
    if (strcmp(argv[2], "exec") == 0) {
      char* const arguments[] = {argv[0], argv[1], "after", NULL};
      printf("%d files\n", count_files());
      execv(argv[0], arguments);
      fail("exec", argv[0]);
    }
    check("close", CALL(deisa_close)(&bridge, STEPS, &error), &error);
    if (dlclose(library) != 0) fail("dlclose", dlerror());
  }
  printf("done\n");
  return 0;
}
