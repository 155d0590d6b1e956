// The MPI communicator, run by mpirun: mpi_test SCENARIO. Exit code 0 when all went well; a failure
// is printed and aborts the job.
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/mpi/mpi_communicator.hpp"
#include "deisa/deisa_mpi.h"

namespace {

using deisa::Communicator;
using deisa::Deadline;
using deisa::Error;

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "mpi_test failed: %s\n", what.c_str());
  MPI_Abort(MPI_COMM_WORLD, 1);
}

#define REQUIRE(...) require((__VA_ARGS__), "line " + std::to_string(__LINE__) + ": " #__VA_ARGS__)

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Deadline soon() { return Deadline::after(30); }

void exchange(MPI_Comm world) {
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open(world, &table, &error) == DEISA_OK);
  Communicator communicator(table);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(world, &rank);
  MPI_Comm_size(world, &size);
  REQUIRE(communicator.rank() == rank);
  REQUIRE(communicator.size() == size);
  const auto text = [](int of) {
    return std::string(static_cast<size_t>(of) * 1000, static_cast<char>('a' + of));
  };
  for (int root = 0; root < size; ++root) {
    communicator.barrier(soon());
    const auto all = communicator.gather(text(rank), root, soon());
    REQUIRE(all.size() == static_cast<size_t>(rank == root ? size : 0));
    for (size_t of = 0; of < all.size(); ++of) REQUIRE(all[of] == text(static_cast<int>(of)));
    REQUIRE(communicator.broadcast(text(rank), root, soon()) == text(root));
  }
}

// Messages longer than a piece.
void pieces(MPI_Comm world) {
  deisa::MpiCommunicator communicator(world, 64);
  const auto ranks = static_cast<size_t>(communicator.size());
  const size_t bytes = 1001;
  std::vector<char> sent(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    sent[i] = static_cast<char>(i * 7 + static_cast<size_t>(communicator.rank()));
  }
  std::vector<char> received(communicator.rank() == 1 ? bytes * ranks : 0);
  communicator.gather(sent.data(), bytes, received.data(), 1, soon());
  for (size_t i = 0; i < received.size(); ++i) {
    REQUIRE(received[i] == static_cast<char>(i % bytes * 7 + i / bytes));
  }
  communicator.broadcast(sent.data(), bytes, 2, soon());
  for (size_t i = 0; i < bytes; ++i) REQUIRE(sent[i] == static_cast<char>(i * 7 + 2));
}

void refusals(MPI_Comm world) {
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open(MPI_COMM_NULL, &table, &error) == DEISA_ERROR_ARGUMENT);
  REQUIRE(contains(error.message, "MPI_COMM_NULL"));
  REQUIRE(table.self == nullptr);
  REQUIRE(deisa_mpi_open(world, nullptr, nullptr) == DEISA_ERROR_ARGUMENT);

  int rank = 0;
  MPI_Comm_rank(world, &rank);
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_split(world, rank % 2, rank, &half);
  MPI_Intercomm_create(half, 0, world, 1 - rank % 2, 5, &inter);
  REQUIRE(deisa_mpi_open(inter, &table, &error) == DEISA_ERROR_ARGUMENT);
  REQUIRE(contains(error.message, "intercommunicator"));
  // Half of the world is a world of its own.
  exchange(half);
  MPI_Comm_free(&inter);
  MPI_Comm_free(&half);

  // The caller's error handler is as before.
  MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
  MPI_Comm_get_errhandler(world, &handler);
  REQUIRE(handler == MPI_ERRORS_ARE_FATAL);
  MPI_Errhandler_free(&handler);
}

void fortran(MPI_Comm world) {
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open_fortran(MPI_Comm_c2f(world), &table, &error) == DEISA_OK);
  Communicator(table).barrier(soon());
}

// MPI_Init gives a level at which only the main thread may call MPI.
void other_thread(MPI_Comm world) {
  deisa_communicator table;
  deisa_error error = {};
  deisa_status status = DEISA_OK;
  std::thread([&] { status = deisa_mpi_open(world, &table, &error); }).join();
  REQUIRE(status == DEISA_ERROR_ARGUMENT);
  REQUIRE(contains(error.message, "MPI_THREAD_SERIALIZED"));
}

// Rank 1 does not enter the barrier.
void timeout(MPI_Comm world) {
  int rank = 0;
  MPI_Comm_rank(world, &rank);
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open(world, &table, &error) == DEISA_OK);
  if (rank != 1) {
    // The others' time is not up: rank 0 tells them.
    REQUIRE(table.barrier(table.self, rank == 0 ? 0.3 : 50, &error) == DEISA_ERROR_TIMEOUT);
    REQUIRE(error.rank == rank);
    REQUIRE(contains(error.message, "the barrier timed out, waiting for rank(s) 1 ("));
    REQUIRE(contains(error.message, rank == 0 ? "rank 0 of 4" : "rank 0 has given up"));
    REQUIRE(contains(error.message, "broken for good"));
    char byte = 0;
    std::vector<char> all(16);
    REQUIRE(table.gather(table.self, &byte, 1, all.data(), 0, 1, &error) ==
            DEISA_ERROR_COMMUNICATOR);
    REQUIRE(contains(error.message, "broken for good"));
    REQUIRE(contains(error.message, "the barrier timed out"));
    REQUIRE(table.broadcast(table.self, &byte, 1, 0, 1, &error) == DEISA_ERROR_COMMUNICATOR);
  }
  // The simulation's own communicator is as good as before.
  MPI_Barrier(world);
  // Who comes late hears at once why nobody is there.
  if (rank == 1) {
    REQUIRE(table.barrier(table.self, 50, &error) == DEISA_ERROR_TIMEOUT);
    REQUIRE(contains(error.message, "rank 0 has given up: the barrier timed out"));
  }
  table.release(table.self);
}

// The time of rank 2 is up before that of rank 0, which knows that rank 1 does not come; and rank 0
// itself does not come.
void another_times_out_first(MPI_Comm world, int late) {
  int rank = 0;
  MPI_Comm_rank(world, &rank);
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open(world, &table, &error) == DEISA_OK);
  if (rank != late) {
    REQUIRE(table.barrier(table.self, rank == 0 ? 50 : 0.3, &error) == DEISA_ERROR_TIMEOUT);
    const bool named = contains(error.message, "waited for rank(s) 1");
    if (rank == 0) REQUIRE(named);
    if (late == 0) REQUIRE(contains(error.message, "the barrier timed out, waiting for rank 0 ("));
    // On a busy machine rank 0 may answer too late.
    if (late == 1 && rank != 0) REQUIRE(named || contains(error.message, "waiting for rank 0 ("));
  }
  MPI_Barrier(world);
  table.release(table.self);
}

// Rank 1 does not give its part of a gather; its root and the others end all the same.
void gather_timeout(MPI_Comm world) {
  int rank = 0;
  MPI_Comm_rank(world, &rank);
  deisa_communicator table;
  deisa_error error;
  REQUIRE(deisa_mpi_open(world, &table, &error) == DEISA_OK);
  if (rank == 0) {
    std::vector<char> sent(1 << 16);
    std::vector<char> all(sent.size() * static_cast<size_t>(table.size(table.self)));
    REQUIRE(table.gather(table.self, sent.data(), sent.size(), all.data(), 0, 0.3, &error) ==
            DEISA_ERROR_TIMEOUT);
    REQUIRE(contains(error.message, "the gather timed out, waiting for rank(s) 1-3"));
  }
  MPI_Barrier(world);
  table.release(table.self);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string scenario = argc == 2 ? argv[1] : "";
  deisa_communicator table;
  deisa_error error;
  if (deisa_mpi_open_fortran(0, &table, &error) != DEISA_ERROR_ARGUMENT ||
      !contains(error.message, "not initialised")) {
    std::fprintf(stderr, "MPI was called before MPI_Init: %s\n", error.message);
    return 1;
  }
  MPI_Init(&argc, &argv);
  const MPI_Comm world = MPI_COMM_WORLD;
  try {
    if (scenario == "exchange") {
      exchange(world);
      // Opened and released over and over.
      for (int i = 0; i < 100; ++i) fortran(world);
      pieces(world);
      refusals(world);
      other_thread(world);
    } else if (scenario == "timeout") {
      timeout(world);
      another_times_out_first(world, 0);
      another_times_out_first(world, 1);
      gather_timeout(world);
    } else {
      REQUIRE(false && "no such scenario");
    }
    REQUIRE(deisa_mpi_open(world, &table, &error) == DEISA_OK);
  } catch (const Error& failure) {
    require(false, failure.what());
  }
  MPI_Finalize();
  if (table.barrier(table.self, 1, &error) != DEISA_ERROR_ARGUMENT ||
      !contains(error.message, "MPI_Finalize")) {
    std::fprintf(stderr, "MPI was called after MPI_Finalize: %s\n", error.message);
    return 1;
  }
  table.release(table.self);
  return 0;
}
