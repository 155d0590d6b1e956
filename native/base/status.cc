// The parts of the C ABI that need no bridge: names.
#include "deisa/deisa.h"

extern "C" {

const char* deisa_status_string(deisa_status status) {
  switch (status) {
    case DEISA_OK:
      return "success";
    case DEISA_SKIPPED:
      return "step skipped";
    case DEISA_NOT_FOUND:
      return "not found";
    case DEISA_REPORTED:
      return "failure reported";
    case DEISA_PENDING:
      return "pending";
    case DEISA_ERROR_ARGUMENT:
      return "invalid argument";
    case DEISA_ERROR_CONTRACT:
      return "contract violation";
    case DEISA_ERROR_TIMEOUT:
      return "time-out";
    case DEISA_ERROR_COMMUNICATOR:
      return "communicator failure";
    case DEISA_ERROR_CONNECTION:
      return "connection failure";
    case DEISA_ERROR_RESOURCE:
      return "out of resources";
    case DEISA_ERROR_UNSUPPORTED:
      return "not supported";
    case DEISA_ERROR_INTERNAL:
      return "internal error";
  }
  return "unknown status";
}

const char* deisa_version(void) { return DEISA_VERSION; }

}  // extern "C"
