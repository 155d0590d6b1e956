/* Options, feedback and errors between Fortran and the C ABI. */
#define _GNU_SOURCE
#include "glue.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(number) #number
#define SONAME(major, minor) "libdeisa_mpi.so." TEXT_OF(major) "." TEXT_OF(minor)
static const char mpi_library[] = SONAME(DEISA_VERSION_MAJOR, DEISA_VERSION_MINOR);

/* deisa_mpi_open_fortran of deisa_mpi.h, without MPI's header. */
typedef deisa_status (*open_communicator)(int comm, deisa_communicator* out, deisa_error* error);

/* libdeisa_mpi is opened when it is used, so that this library does not depend on MPI: in the folder
 * of this library, else where the loader looks. */
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
                              "libdeisa_mpi has no function deisa_mpi_open_fortran: it is not "
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
  set_real(&options.feedback_interval, given->feedback_interval);
  options.error_handler = given->error_handler;
  options.error_handler_data = given->error_handler_data;
  options.master_address = or_default(master_address);
  options.ray_address = or_default(ray_address);
  options.node_id = or_default(node_id);
  options.node_actor = or_default(node_actor);
  if (comm != NULL) {
    const deisa_status status = open_mpi(*comm, &communicator, error);
    if (status < 0) return status;
    options.communicator = &communicator;
  }
  {
    const deisa_status status = deisa_open(&options, bridge, error);
    if (status < 0 && comm != NULL) communicator.release(communicator.self);
    return status;
  }
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

/* Names array and timestep only if the message does not: most messages do. */
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
