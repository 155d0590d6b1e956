// deisa_mpi_open and its Fortran form.
#include "comm/c_table.hpp"
#include "comm/mpi/mpi_communicator.hpp"
#include "deisa/deisa_mpi.h"

namespace {

template <typename Comm>
deisa_status open(const Comm& comm, deisa_communicator* out, deisa_error* error) {
  return deisa::guarded(error, -1, [&] {
    try {
      if (out == nullptr) throw deisa::Error(DEISA_ERROR_ARGUMENT, "`out` is NULL");
      *out = {};
      *out = deisa::make_table(std::make_unique<deisa::MpiCommunicator>(comm()));
    } catch (const deisa::Error& failure) {
      throw deisa::Error(failure.status(), std::string("deisa_mpi_open: ") + failure.what());
    }
  });
}

}  // namespace

extern "C" {

DEISA_EXPORT deisa_status deisa_mpi_open(MPI_Comm comm, deisa_communicator* out,
                                         deisa_error* error) {
  return open([&] { return comm; }, out, error);
}

DEISA_EXPORT deisa_status deisa_mpi_open_fortran(MPI_Fint comm, deisa_communicator* out,
                                                 deisa_error* error) {
  // Converting is a call of MPI, too.
  return open(
      [&] {
        deisa::check_mpi_is_usable();
        return MPI_Comm_f2c(comm);
      },
      out, error);
}

}  // extern "C"
