/* Options, feedback and errors between Fortran and the C ABI. */
#define _GNU_SOURCE
#include "glue.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char mpi_library[] = "libdeisa_mpi.so";

/* deisa_mpi_open_fortran of deisa_mpi.h, without MPI's header. */
typedef deisa_status (*open_communicator)(int comm, deisa_communicator* out, deisa_error* error);

/* libdeisa_mpi is opened when it is used, so that this library does without MPI: beside this
 * library, else wherever the loader looks. */
static deisa_status open_mpi(int comm, deisa_communicator* out, deisa_error* error) {
  char path[4096] = "";
  char message[1000];
  Dl_info info;
  void* library = NULL;
  if (dladdr((const void*)&mpi_library, &info) != 0 && info.dli_fname != NULL) {
    const char* name = strrchr(info.dli_fname, '/');
    const int folder = name != NULL ? (int)(name - info.dli_fname) + 1 : 0;
    if (folder > 0 && (size_t)folder + sizeof(mpi_library) < sizeof(path)) {
      snprintf(path, sizeof(path), "%.*s%s", folder, info.dli_fname, mpi_library);
      library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    }
  }
  if (library == NULL) library = dlopen(mpi_library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == NULL) {
    snprintf(
        message, sizeof(message),
        "the MPI communicator cannot be loaded (%.500s): expected %s beside the library of the "
        "Fortran module; build deisa with -DDEISA_BUILD_MPI=ON and this MPI",
        dlerror(), mpi_library);
    return deisa_fortran_fail(DEISA_ERROR_UNSUPPORTED, "", message, error);
  }
  void* symbol = dlsym(library, "deisa_mpi_open_fortran");
  open_communicator open = NULL;
  memcpy(&open, &symbol, sizeof(open));
  if (open == NULL) {
    return deisa_fortran_fail(DEISA_ERROR_UNSUPPORTED, "",
                              "libdeisa_mpi.so has no function deisa_mpi_open_fortran: it is not "
                              "that of this project",
                              error);
  }
  return open(comm, out, error);
}

static const char* or_default(const char* text) { return text[0] != '\0' ? text : NULL; }

static void set_integer(int32_t* option, int32_t given) {
  if (given != DEISA_FORTRAN_UNSET_INTEGER) *option = given;
}

static void set_real(double* option, double given) {
  if (given > DEISA_FORTRAN_UNSET_REAL) *option = given;
}

deisa_status deisa_fortran_open(const deisa_fortran_options* given, const char* master_address,
                                const char* ray_address, const char* node_id,
                                const char* node_actor, const int* comm, deisa_bridge** bridge,
                                deisa_error* error) {
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_communicator communicator;
  int32_t acknowledge = (int32_t)options.acknowledge, error_mode = (int32_t)options.error_mode;
  int32_t when_full = (int32_t)options.when_full;
  set_integer(&options.bridge_id, given->bridge_id);
  set_integer(&options.world_size, given->world_size);
  set_integer(&options.master_port, given->master_port);
  set_integer(&options.init_retries, given->init_retries);
  set_integer(&options.max_in_flight, given->max_in_flight);
  set_integer(&when_full, given->when_full);
  set_integer(&options.max_ahead, given->max_ahead);
  set_integer(&options.window, given->window);
  set_integer(&acknowledge, given->acknowledge);
  set_integer(&error_mode, given->error_mode);
  options.acknowledge = (deisa_acknowledge)acknowledge;
  options.error_mode = (deisa_error_mode)error_mode;
  options.when_full = (deisa_when_full)when_full;
  set_real(&options.comm_timeout, given->comm_timeout);
  set_real(&options.ready_timeout, given->ready_timeout);
  set_real(&options.send_timeout, given->send_timeout);
  set_real(&options.block_timeout, given->block_timeout);
  set_real(&options.store_threshold, given->store_threshold);
  options.master_address = or_default(master_address);
  options.ray_address = or_default(ray_address);
  options.node_id = or_default(node_id);
  options.node_actor = or_default(node_actor);
  if (comm != NULL) {
    const deisa_status status = open_mpi(*comm, &communicator, error);
    if (status < 0) return status;
    options.communicator = &communicator;
  }
  return deisa_open(&options, bridge, error);
}

deisa_status deisa_fortran_get_text(deisa_bridge* bridge, const char* key, int64_t timestep,
                                    int flags, const char** text, size_t* length,
                                    deisa_error* error) {
  const void* data = NULL;
  size_t size = 0;
  char message[400];
  const deisa_status status = deisa_get_packed(bridge, key, timestep, flags, &data, &size, error);
  if (status != DEISA_OK) return status;
  /* MessagePack's strings: the length is in the low bits of the first byte, or follows it. */
  const unsigned char* bytes = data;
  size_t head = 0, count = 0;
  if (size > 0 && bytes[0] >= 0xa0 && bytes[0] <= 0xbf) {
    head = 1;
    count = bytes[0] & 0x1fu;
  } else if (size > 0 && bytes[0] >= 0xd9 && bytes[0] <= 0xdb) {
    head = 1 + ((size_t)1 << (bytes[0] - 0xd9));
    for (size_t i = 1; i < head && i < size; ++i) count = count << 8 | bytes[i];
  }
  if (head == 0 || head > size || count != size - head) {
    snprintf(message, sizeof(message), "feedback '%.300s' is no string: expected one", key);
    return deisa_fortran_fail(DEISA_ERROR_ARGUMENT, "", message, error);
  }
  *text = (const char*)bytes + head;
  *length = count;
  return DEISA_OK;
}

deisa_status deisa_fortran_status(deisa_bridge* bridge, int64_t* counters, int32_t count,
                                  double* seconds_blocked, deisa_error* error) {
  deisa_bridge_status now = {.struct_size = sizeof(now)};
  const deisa_status status = deisa_get_status(bridge, &now, error);
  const int64_t values[] = {now.steps_sent,       now.chunks_sent,   now.chunks_stored,
                            now.chunks_announced, now.chunks_failed, now.steps_dropped,
                            now.chunks_in_flight, now.bytes_sent,    now.bytes_copied,
                            now.chunks_left_out,  now.chunks_lost,   now.errors,
                            now.errors_earlier};
  for (int32_t i = 0; i < count && i < (int32_t)(sizeof(values) / sizeof(values[0])); ++i) {
    counters[i] = values[i];
  }
  *seconds_blocked = now.seconds_blocked;
  return status;
}

deisa_status deisa_fortran_fail(deisa_status status, const char* array, const char* message,
                                deisa_error* error) {
  error->status = status;
  error->rank = -1;
  error->timestep = DEISA_NO_TIMESTEP;
  error->earlier = 0;
  snprintf(error->array, sizeof(error->array), "%s", array);
  snprintf(error->message, sizeof(error->message), "%s", message);
  return status;
}

/* Where it failed is said once: most messages name array and timestep themselves. */
void deisa_fortran_describe(const deisa_error* error, char* text, size_t capacity) {
  char where[400] = "", array[300], timestep[48];
  size_t used = 0;
  snprintf(array, sizeof(array), "array '%s'", error->array);
  snprintf(timestep, sizeof(timestep), "timestep %lld", (long long)error->timestep);
  if (error->rank >= 0) {
    used = (size_t)snprintf(where, sizeof(where), "rank %d: ", error->rank);
  }
  if (error->array[0] != '\0' && strstr(error->message, array) == NULL) {
    used += (size_t)snprintf(where + used, sizeof(where) - used, "%s: ", array);
  }
  if (error->timestep != DEISA_NO_TIMESTEP && strstr(error->message, timestep) == NULL) {
    snprintf(where + used, sizeof(where) - used, "%s: ", timestep);
  }
  snprintf(text, capacity, "%s%s: %s", where, deisa_status_string(error->status), error->message);
}
