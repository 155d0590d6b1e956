/* Preloaded into a program: a fault of the machine that a test cannot bring about for one process
 * alone. MACHINE_FAULT names it:
 *
 *   clock    the time of the day goes back an hour, every half second; not in programs it starts
 *   memfd    memfd_create is refused, as by a sandbox
 *   threads  no thread and no process can be started, as at RLIMIT_NPROC
 *   traps    floating-point exceptions end the program; not those that it starts */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#pragma GCC visibility push(default)

static enum { NONE, CLOCK, MEMFD, THREADS } fault;
static int (*real_clock)(clockid_t, struct timespec*);
static time_t began;

static void* next(const char* name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char* name = getenv("MACHINE_FAULT");
  if (name == NULL) return;
  if (strcmp(name, "clock") == 0) fault = CLOCK;
  if (strcmp(name, "memfd") == 0) fault = MEMFD;
  if (strcmp(name, "threads") == 0) fault = THREADS;
  const int traps = strcmp(name, "traps") == 0;
  if (traps) feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
  if (traps || fault == CLOCK) unsetenv("MACHINE_FAULT");
}

int clock_gettime(clockid_t id, struct timespec* time) {
  if (real_clock == NULL)
    real_clock = __extension__(int (*)(clockid_t, struct timespec*)) next("clock_gettime");
  if (fault != CLOCK || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) {
    return real_clock(id, time);
  }
  struct timespec passed;
  real_clock(CLOCK_MONOTONIC, &passed);
  if (began == 0) began = passed.tv_sec;
  const int result = real_clock(id, time);
  time->tv_sec -= 3600 * (2 * (passed.tv_sec - began) + (passed.tv_nsec >= 500000000));
  return result;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  struct timespec now;
  (void)zone;
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return result;
}

time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != NULL) *result = now.tv_sec;
  return now.tv_sec;
}

int memfd_create(const char* name, unsigned flags) {
  if (fault == MEMFD) {
    errno = EPERM;
    return -1;
  }
  int (*real)(const char*, unsigned) =
      __extension__(int (*)(const char*, unsigned)) next("memfd_create");
  return real(name, flags);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  if (fault == THREADS) return EAGAIN;
  typedef int create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  create* real = __extension__(create*) next("pthread_create");
  return real(thread, attributes, run, argument);
}

int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[],
                char* const environment[]) {
  if (fault == THREADS) return EAGAIN;
  typedef int spawn(pid_t*, const char*, const posix_spawn_file_actions_t*,
                    const posix_spawnattr_t*, char* const*, char* const*);
  spawn* real = __extension__(spawn*) next("posix_spawn");
  return real(pid, path, actions, attributes, arguments, environment);
}
