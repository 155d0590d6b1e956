/**
 * @file deisa.h
 * @brief Connects a running simulation to deisa-ray analytics.
 *
 * One bridge per rank. A rank defines its arrays, calls deisa_ready() once, then sends one chunk of
 * each array per timestep and closes:
 *
 * @code
 *   deisa_options options = DEISA_OPTIONS_INIT;
 *   deisa_bridge* bridge = NULL;
 *   deisa_error error;
 *   deisa_open(&options, &bridge, &error);
 *   deisa_define(bridge, "temperature", &layout, &error);
 *   deisa_ready(bridge, &error);                           // collective
 *   deisa_send(bridge, "temperature", data, step, &error);
 *   deisa_close(&bridge, last_step + 1, &error);           // collective
 * @endcode
 *
 * These rules apply to every function, unless its comment says otherwise:
 *  - **Errors.** A negative status is an error that the caller must handle; zero is success; a positive
 *    status is success with further information: see deisa_status. `error` belongs to the caller, may be
 *    NULL, and is filled in for every status but DEISA_OK. No C++ exception, signal or abort leaves a function.
 *    DEISA_ERROR_ARGUMENT (an argument is NULL or invalid) and DEISA_ERROR_CONTRACT (the call may not be
 *    made now, or does not fit what was defined) mean that nothing was done, and are always returned. Any
 *    other failure goes to the error handler, and the call returns DEISA_REPORTED; or it is returned, with
 *    DEISA_ERRORS_RETURN.
 *  - **Earlier calls.** A failure after its call has returned is reported by the next call on the bridge,
 *    with `earlier` set in the error. That call has still done its own work; only deisa_begin_step() has not
 *    begun the step when it returns such an error.
 *  - **Ownership.** Pointers passed in are borrowed for the duration of the call.
 *  - **Threads.** A bridge may be used from several threads; its calls are serialised. deisa_close() and
 *    deisa_abandon() must be the last call.
 *  - **Collective** functions must be called by every rank, in the same order. All others are local: they
 *    do not synchronise with other ranks.
 *  - **fork.** A child that a program forks has copies of its bridges that do nothing: every call on them
 *    returns DEISA_ERROR_CONTRACT. The child may open bridges of its own.
 *  - **When nothing that is sent can be analysed any more** (the analytics have ended, a node actor has
 *    died), the error handler is called once; later failures for the same reason are only counted, and
 *    their number is reported when the bridge ends.
 *  - **Structs** with a member `struct_size` start from their DEISA_..._INIT, so that a program can be run
 *    with a newer library.
 *  - **DEISA_DISABLE=1** in the environment makes every function a no-op that returns DEISA_OK; reading
 *    feedback finds nothing (DEISA_NOT_FOUND).
 */
#ifndef DEISA_DEISA_H
#define DEISA_DEISA_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define DEISA_EXPORT __attribute__((visibility("default")))
#else
#define DEISA_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define DEISA_VERSION_MAJOR 0
#define DEISA_VERSION_MINOR 2
#define DEISA_VERSION_PATCH 0
#define DEISA_VERSION "0.2.0"

/* ---- Return codes and errors ---------------------------------------------------- */

/** How a call ended. */
typedef enum deisa_status {
  DEISA_OK = 0,
  /* Positive: the call succeeded, or its failure was handled. */
  DEISA_SKIPPED = 1,   /**< back-pressure skips this timestep, on every rank alike */
  DEISA_NOT_FOUND = 2, /**< there is no such value; the caller's default is unchanged */
  DEISA_REPORTED = 3,  /**< a failure was given to the error handler; continue */
  DEISA_PENDING = 4,   /**< not finished yet */
  /* Negative: the caller must act. */
  DEISA_ERROR_ARGUMENT = -1,     /**< an argument or option is invalid */
  DEISA_ERROR_CONTRACT = -2,     /**< the contract between simulation and analytics is violated */
  DEISA_ERROR_TIMEOUT = -3,      /**< a wait timed out; the message says for whom or what */
  DEISA_ERROR_COMMUNICATOR = -4, /**< the communicator failed or was broken before */
  DEISA_ERROR_CONNECTION = -5,   /**< Ray, the node actor or its socket cannot be reached */
  DEISA_ERROR_RESOURCE = -6,     /**< out of memory, descriptors or space in the object store */
  DEISA_ERROR_UNSUPPORTED = -7,  /**< known, but not supported */
  DEISA_ERROR_INTERNAL = -8      /**< a defect of this library */
} deisa_status;

/** Where and why a call failed. Belongs to the caller, reusable; strings are NUL-terminated. */
typedef struct deisa_error {
  deisa_status status;
  int32_t rank;       /**< the bridge that failed, or -1 */
  int64_t timestep;   /**< or DEISA_NO_TIMESTEP */
  char array[256];    /**< or "" */
  char message[4096]; /**< what was wrong, where, what was expected, what to do */
  int32_t
      earlier; /**< 1: it concerns an earlier call, and this one has done its own work; else 0 */
} deisa_error;

#define DEISA_NO_TIMESTEP INT64_MIN

/** The name of a status, such as "contract violation". Static storage. */
DEISA_EXPORT const char* deisa_status_string(deisa_status status);

/** The version of the library that is loaded, such as "0.2.0". Static storage. */
DEISA_EXPORT const char* deisa_version(void);

/* ---- Communicator ---------------------------------------------------------------- */

/** How ranks synchronise and exchange metadata. deisa_mpi.h makes one from an MPI communicator,
 * deisa_gloo.h one without MPI, and a program may fill in its own. The functions are called from one
 * thread at a time, by all ranks in the same order. `timeout` is in seconds. They return DEISA_OK or an
 * error, with `error` filled in; after an error the communicator stays broken.
 * The struct is copied; `self` belongs to the owner until `release` is called on it. */
typedef struct deisa_communicator {
  size_t struct_size;
  void* self;
  int32_t (*rank)(void* self);
  int32_t (*size)(void* self);
  deisa_status (*barrier)(void* self, double timeout, deisa_error* error);
  /** Every rank gives `bytes` bytes (the same number); `received` has size*bytes bytes, in rank order,
   * on `root` only (NULL elsewhere). */
  deisa_status (*gather)(void* self, const void* sent, size_t bytes, void* received, int32_t root,
                         double timeout, deisa_error* error);
  /** `bytes` bytes of `data` go from `root` to every rank. */
  deisa_status (*broadcast)(void* self, void* data, size_t bytes, int32_t root, double timeout,
                            deisa_error* error);
  /** Called once, by deisa_close() or deisa_abandon(); may be NULL. */
  void (*release)(void* self);
  /** As `barrier`; calls `meanwhile(data)` on the calling thread at intervals (for example 50 ms) while it
   * waits, so that failures during deisa_close() are reported at once. NULL: they are reported after it. */
  deisa_status (*barrier_meanwhile)(void* self, double timeout, void (*meanwhile)(void* data),
                                    void* data, deisa_error* error);
} deisa_communicator;

/* ---- Options ---------------------------------------------------------------------- */

/** When a send returns. */
typedef enum deisa_acknowledge {
  DEISA_ACK_RECEIVED = 0, /**< the node actor has received the chunk: it outlives this process */
  DEISA_ACK_STORED = 1,   /**< it is in Ray's object store */
  DEISA_ACK_ANNOUNCED = 2 /**< the head actor knows it */
} deisa_acknowledge;

/** What a rank does while a timestep may not begin: max_in_flight of its timesteps are not stored yet,
 * the object store of its node is as full as store_threshold allows, or max_ahead timesteps wait for the
 * analytics. Timesteps are admitted as a whole: no rank has to wait once another rank of its node has
 * begun the timestep. */
typedef enum deisa_when_full {
  DEISA_WHEN_FULL_BLOCK = 0, /**< wait, up to block_timeout; then DEISA_ERROR_TIMEOUT */
  DEISA_WHEN_FULL_SKIP = 1,  /**< deisa_begin_step() skips the timestep, on every rank alike
                                (DEISA_SKIPPED), and so is collective; sends outside of steps wait */
  DEISA_WHEN_FULL_FAIL = 2   /**< DEISA_ERROR_RESOURCE */
} deisa_when_full;

/** What happens to a failure that is not the caller's fault. */
typedef enum deisa_error_mode {
  DEISA_ERRORS_REPORT =
      0, /**< to the error handler (default: stderr); the call returns DEISA_REPORTED */
  DEISA_ERRORS_RETURN = 1 /**< the call returns the error */
} deisa_error_mode;

/** Called with a failure in mode DEISA_ERRORS_REPORT, on the thread that made the call. A cause that
 * affects many chunks (such as the death of a rank) is reported once; deisa_get_statistics() counts the
 * chunks. `error` is valid during the call. Must not call into the same bridge. */
typedef void (*deisa_error_handler)(void* user_data, const deisa_error* error);

/** Options of a bridge. Start from DEISA_OPTIONS_INIT. Each can also be set from outside the program: in
 * the file that DEISA_CONFIG names, which takes precedence, or by an environment variable of the same name
 * (DEISA_COMM_TIMEOUT, ...), which takes precedence over both: docs/settings.md. The file also filters: it
 * chooses which arrays are sent, and how often; sending a filtered chunk is a no-op that returns DEISA_OK.
 * Strings are copied. */
typedef struct deisa_options {
  size_t struct_size;
  int32_t bridge_id;          /**< 0 ... world_size-1; -1: the communicator's rank, 0 without one */
  int32_t world_size;         /**< >= 1; -1: the communicator's size, 1 without one */
  const char* master_address; /**< host of bridge 0, for the rendezvous; NULL: 127.0.0.1 */
  int32_t master_port;        /**< 1 ... 65535, for the rendezvous; -1: 29400 */
  const char* ray_address;    /**< host:port of Ray; NULL: RAY_ADDRESS, else the local cluster */
  const deisa_communicator* communicator; /**< NULL: Gloo, or none for one rank */
  double comm_timeout; /**< seconds, > 0: the rendezvous, and a barrier of all ranks */
  double
      ready_timeout; /**< seconds, > 0: deisa_ready(), after the rendezvous; the minimum over all ranks */
  double send_timeout;    /**< seconds, > 0: one wait in a send, a step or a flush */
  const char* node_id;    /**< NULL: this node of Ray; tests name several nodes on one machine */
  const char* node_actor; /**< "module:Class" of the node actor; NULL: deisa-ray's own, extended */
  int32_t init_retries;   /**< >= 1: attempts to create the node actor */
  deisa_acknowledge acknowledge;
  int32_t max_in_flight; /**< >= 1: timesteps of this rank that are not yet in the object store */
  /* The next five must be the same on every rank. */
  deisa_when_full when_full;
  double block_timeout;   /**< seconds, >= 0: wait for space, then refuse or skip the timestep;
                             -1: send_timeout with DEISA_WHEN_FULL_BLOCK, else 0 */
  double store_threshold; /**< 0 < ... <= 1: usable fraction of each node's object store */
  int32_t max_ahead;      /**< >= 0: timesteps that may wait for the analytics; 0: no limit */
  int32_t
      window; /**< >= 1: timesteps that the analytics keep; deisa_ready() checks that they fit */
  double
      feedback_interval; /**< seconds, >= 0: maximum age of a value that is read without waiting; the
                               node leader's applies; 0: each deisa_get() asks the head actor */
  deisa_error_mode error_mode;
  deisa_error_handler error_handler; /**< NULL: report on stderr */
  void* error_handler_data;          /**< passed to error_handler; belongs to the caller */
  const char* const*
      settings; /**< "name=value" texts, then NULL: settings by their name in the settings file,
                     which replace the members above; or NULL */
} deisa_options;

#define DEISA_OPTIONS_INIT \
  {sizeof(deisa_options),  \
   -1,                     \
   -1,                     \
   NULL,                   \
   -1,                     \
   NULL,                   \
   NULL,                   \
   120.0,                  \
   600.0,                  \
   120.0,                  \
   NULL,                   \
   NULL,                   \
   3,                      \
   DEISA_ACK_RECEIVED,     \
   2,                      \
   DEISA_WHEN_FULL_BLOCK,  \
   -1.0,                   \
   0.5,                    \
   0,                      \
   1,                      \
   0.1,                    \
   DEISA_ERRORS_REPORT,    \
   NULL,                   \
   NULL,                   \
   NULL}

/* ---- Arrays ------------------------------------------------------------------------ */

typedef enum deisa_dtype {
  DEISA_BOOL = 1, /**< one byte, 0 or 1 */
  DEISA_INT8,
  DEISA_INT16,
  DEISA_INT32,
  DEISA_INT64,
  DEISA_UINT8,
  DEISA_UINT16,
  DEISA_UINT32,
  DEISA_UINT64,
  DEISA_FLOAT16,
  DEISA_FLOAT32,
  DEISA_FLOAT64,
  DEISA_COMPLEX64, /**< two float32: real, imaginary */
  DEISA_COMPLEX128 /**< two float64 */
} deisa_dtype;

/** Which dimension of a contiguous block is fastest in memory. */
typedef enum deisa_order {
  DEISA_ORDER_C = 0,      /**< the last */
  DEISA_ORDER_FORTRAN = 1 /**< the first */
} deisa_order;

#define DEISA_MAX_DIMENSIONS 32

/** One rank's chunk of an array. Start from DEISA_LAYOUT_INIT. All pointers have `ndim` elements, first
 * dimension slowest in the analytics' view (NumPy's C order).
 *
 * How the chunk lies in the memory that is sent is said either by `strides`, or by `halo_before`,
 * `halo_after` and `order`: the chunk is then the inside of a contiguous block of shape halo_before +
 * chunk_shape + halo_after, and the pointer that is sent is the block's. Without any of them the memory is
 * contiguous, last dimension fastest. Whatever the layout, index (i, j, ...) of the chunk is index
 * [i, j, ...] in the analytics.
 *
 * Where the chunk lies in the whole array is said either by chunk_position in the grid of chunks, or by
 * `start` and global_shape, the same way on every rank. With a position, global_shape and no grid all chunks
 * are equal: chunk_shape must divide global_shape; chunks of different extents need nb_chunks_per_dim. With
 * starts, the bridges derive the grid in deisa_ready(), which refuses gaps, overlaps, and chunks that make
 * no rectilinear grid. A rank that has no cells of an array does not define it; the grid is that of the
 * ranks which do. Where the number of elements changes with the timestep, define the
 * largest one, and send how many of them count in an array of its own. */
typedef struct deisa_layout {
  size_t struct_size;
  deisa_dtype dtype;
  int32_t ndim;                     /**< 1 ... DEISA_MAX_DIMENSIONS */
  const int64_t* chunk_shape;       /**< elements, > 0, the same at every timestep */
  const int64_t* nb_chunks_per_dim; /**< the chunk grid; or NULL with global_shape */
  const int64_t* global_shape;      /**< or NULL with nb_chunks_per_dim */
  const int64_t* chunk_position;    /**< in the grid, 0 <= position < nb_chunks_per_dim; or NULL */
  int64_t nb_chunks_of_node; /**< chunks of this array on this node; -1: agreed by the bridges */
  const int64_t* strides;    /**< bytes between neighbours per dimension, any sign; or NULL */
  int64_t
      offset; /**< bytes, added to the pointer that is sent: with strides, to the first element */
  const int64_t* halo_before; /**< ghost cells before the chunk, elements >= 0; NULL: none */
  const int64_t* halo_after;  /**< ... and after it */
  deisa_order order;          /**< of the block; DEISA_ORDER_C with strides */
  const int64_t* start;       /**< the chunk's first element in the whole array; stands, with
                                 global_shape, for chunk_position and nb_chunks_per_dim; or NULL */
  const char* aggregate; /**< "none", "node" or "auto": whether the chunks of a node become one,
                                 the same on every rank; NULL: by the setting `aggregate` */
} deisa_layout;

#define DEISA_LAYOUT_INIT                                                                     \
  {sizeof(deisa_layout), DEISA_FLOAT64, 0,   NULL, NULL, NULL, NULL, -1, NULL, 0, NULL, NULL, \
   DEISA_ORDER_C,        NULL,          NULL}

/* ---- Opening a bridge ---------------------------------------------------------------- */

typedef struct deisa_bridge deisa_bridge;

/** Makes a bridge from options, the settings file and the environment. Performs no communication.
 * @param options NULL: DEISA_OPTIONS_INIT
 * @param out the new bridge, owned by the caller until deisa_close() or deisa_abandon(); NULL after an error
 * @return DEISA_ERROR_ARGUMENT with every invalid option in the message. Errors are returned. */
DEISA_EXPORT deisa_status deisa_open(const deisa_options* options, deisa_bridge** out,
                                     deisa_error* error);

/** Defines an array, before deisa_ready(). Performs no communication.
 * @param name UTF-8, 1 ... 255 bytes, not starting with "__deisa_"; copied
 * @param layout copied
 * @return DEISA_ERROR_ARGUMENT with every problem of the layout; nothing is defined then. */
DEISA_EXPORT deisa_status deisa_define(deisa_bridge* bridge, const char* name,
                                       const deisa_layout* layout, deisa_error* error);

/** Defines several arrays, as deisa_define() does.
 * @param arrays_metadata a JSON object: name -> {"chunk_shape", "nb_chunks_per_dim" or "global_shape",
 *   "nb_chunks_of_node", "dtype", "chunk_position"}, and the optional "strides", "offset", "halo_before",
 *   "halo_after" and "order" ("C" or "F"); "start" and "global_shape" may stand for "chunk_position" and
 *   "nb_chunks_per_dim"; "aggregate" is "none", "node" or "auto". A "dtype" of null is known with the first chunk, which must come
 *   from memory that its call describes (deisa_source): then every rank must send that one. Until then there
 *   is no loan.
 * @return DEISA_ERROR_ARGUMENT with the problems of all arrays; nothing is defined then. */
DEISA_EXPORT deisa_status deisa_define_json(deisa_bridge* bridge, const char* arrays_metadata,
                                            deisa_error* error);

/** Collective. Joins the rendezvous of the ranks, connects each node to Ray, registers every array and waits
 * for the analytics. Rendezvous and exchange of metadata take at most comm_timeout each, the rest at most
 * ready_timeout.
 * @return an error that is the same on every rank; then abandon the bridge. Errors are returned. */
DEISA_EXPORT deisa_status deisa_ready(deisa_bridge* bridge, deisa_error* error);

/* ---- Arrow C Data Interface ------------------------------------------------------------ */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
#endif

/* ---- Sending ------------------------------------------------------------------------------ */

/** Where a chunk comes from: exactly one of `data`, `loan` and `array`. Start from DEISA_SOURCE_INIT. */
typedef struct deisa_source {
  size_t struct_size;
  /** The first element. With a `shape` the call describes the memory itself, and `dtype` and `shape` must be
   * those of the array; without one, the memory has the layout of the definition. Copied once. */
  const void* data;
  deisa_dtype dtype;      /**< of the elements; 0: not checked, allowed without a shape only */
  int32_t ndim;           /**< of `shape` */
  const int64_t* shape;   /**< `ndim` extents; or NULL */
  const int64_t* strides; /**< bytes between neighbours per dimension, any sign; NULL: contiguous */
  /** Memory of deisa_loan(), which is taken without a copy. Afterwards `*loan` is the next loan, whose
   * contents are undefined (zeros, or data of an earlier timestep). The memory that was sent must not be
   * written any more. It may be read until the next send or put of this array, so that a timestep can be
   * computed from the previous one. If `*loan` is unchanged (after an error, or in a skipped step), it was
   * not taken: the caller keeps it with its data. */
  void** loan;
  /** An Arrow array and its `schema`: a primitive array of the chunk's elements, or a fixed-shape tensor
   * (fixed-size lists) of its shape. bool is arrow.bool8, a complex number a list of two. Offsets are
   * supported; nulls, dictionaries and other types are DEISA_ERROR_CONTRACT. The memory is copied once. The
   * call takes ownership of both structs: they are released on return, even after an error, except after
   * that of a wrong struct_size. */
  struct ArrowArray* array;
  struct ArrowSchema* schema;
} deisa_source;

#define DEISA_SOURCE_INIT \
  {sizeof(deisa_source), NULL, (deisa_dtype)0, 0, NULL, NULL, NULL, NULL, NULL}

/** A send or a step in progress; 0: none, or finished. A plain number: nothing has to be freed. */
typedef uint64_t deisa_request;

/** Sends this rank's chunk of an array, and waits until it has reached the level of `acknowledge`. The first
 * send of a timestep waits for space, according to when_full and block_timeout.
 * @param data memory with the layout of the definition; may be reused on return
 * @param timestep more than that of the array's last send
 * @return DEISA_ERROR_CONTRACT: unknown array, a timestep that was sent before or is too old, a step is open;
 *   DEISA_ERROR_TIMEOUT, DEISA_ERROR_RESOURCE: no space, or no acknowledgement within send_timeout */
DEISA_EXPORT deisa_status deisa_send(deisa_bridge* bridge, const char* name, const void* data,
                                     int64_t timestep, deisa_error* error);

/** As deisa_send(), from memory that the call describes, from a loan or from Arrow; or asynchronously.
 * @param request NULL: waits as deisa_send() does. Else returns when the chunk is copied and handed over. Pass
 *   `*request` to deisa_wait() or deisa_test(), which report its failure; deisa_flush() and deisa_close()
 *   finish the others. If max_in_flight requests are in progress, the call waits for space. `*request` is 0
 *   after an error, and when the array is filtered. */
DEISA_EXPORT deisa_status deisa_send_from(deisa_bridge* bridge, const char* name,
                                          const deisa_source* source, int64_t timestep,
                                          deisa_request* request, deisa_error* error);

/** Begins a step: all chunks put into it are one message. Collective with DEISA_WHEN_FULL_SKIP only. Waits
 * for space, according to when_full and block_timeout.
 * @return DEISA_SKIPPED: the timestep is skipped on every rank alike; DEISA_REPORTED: it is skipped on this
 *   rank, after a failure. In both cases deisa_put() and deisa_end_step() then do nothing.
 *   DEISA_ERROR_CONTRACT: a step is open, or the timestep is too old. */
DEISA_EXPORT deisa_status deisa_begin_step(deisa_bridge* bridge, int64_t timestep,
                                           deisa_error* error);
/** Puts this rank's chunk of an array into the open step; never waits. As deisa_send() otherwise.
 * @return DEISA_ERROR_CONTRACT: no step is open, or the array was put into it before */
DEISA_EXPORT deisa_status deisa_put(deisa_bridge* bridge, const char* name, const void* data,
                                    deisa_error* error);
/** As deisa_put(), from memory that the call describes, from a loan or from Arrow. */
DEISA_EXPORT deisa_status deisa_put_from(deisa_bridge* bridge, const char* name,
                                         const deisa_source* source, deisa_error* error);
/** Sends the step. A step may be empty: then the others do not wait for this rank.
 * @param request NULL: waits for the acknowledgement; else as in deisa_send_from() */
DEISA_EXPORT deisa_status deisa_end_step(deisa_bridge* bridge, deisa_request* request,
                                         deisa_error* error);
/** Ends the open step without sending it: this rank skips the timestep, and what was put is discarded.
 * The analytics do not get this timestep of its arrays; no other rank waits for it. Does nothing when no step
 * is open. */
DEISA_EXPORT deisa_status deisa_abandon_step(deisa_bridge* bridge, deisa_error* error);

/** Waits until the request has reached the level of `acknowledge`, up to send_timeout. Sets `*request` to 0,
 * unless it ends with DEISA_ERROR_TIMEOUT: then wait again, or flush.
 * @return DEISA_ERROR_ARGUMENT for a number that was never a request of this bridge; DEISA_OK for one that is
 *   finished */
DEISA_EXPORT deisa_status deisa_wait(deisa_bridge* bridge, deisa_request* request,
                                     deisa_error* error);
/** As deisa_wait(), without waiting: DEISA_PENDING while the request is in progress, DEISA_ERROR_TIMEOUT
 * each time another send_timeout has passed; then `*request` may be tested again. */
DEISA_EXPORT deisa_status deisa_test(deisa_bridge* bridge, deisa_request* request,
                                     deisa_error* error);
/** Waits until everything that was sent has been announced, up to send_timeout. */
DEISA_EXPORT deisa_status deisa_flush(deisa_bridge* bridge, deisa_error* error);

/** Lends memory for one chunk of an array to compute in: sending it, as `loan` of a deisa_source, needs no
 * copy. After deisa_ready(), for arrays that were defined as contiguous.
 * @param memory contiguous, page-aligned (with `aggregate` only as its elements are), contents undefined. Owned by the library, valid until the bridge ends;
 *   a second call returns the same memory. Under DEISA_DISABLE it is ordinary memory, and NULL for an array that
 *   was not defined.
 * @param layout may be NULL; else `dtype`, `ndim` and `chunk_shape` are set to those of the memory.
 *   `chunk_shape` is owned by the library, valid until the bridge ends. */
DEISA_EXPORT deisa_status deisa_loan(deisa_bridge* bridge, const char* name, void** memory,
                                     deisa_layout* layout, deisa_error* error);

/* ---- The end ------------------------------------------------------------------------------- */

/** Collective. Flushes, waits for every rank, sends the end marker, and frees the bridge, even if a part fails.
 * @param bridge set to NULL, unless the call is refused. DEISA_OK when `*bridge` is NULL already.
 * @param timestep at least the newest that was sent
 * @return DEISA_ERROR_CONTRACT: a step is open, or `timestep` is too old; then nothing was done */
DEISA_EXPORT deisa_status deisa_close(deisa_bridge** bridge, int64_t timestep, deisa_error* error);

/** Frees the bridge at once, without synchronising: for a rank that ends early. When bridge 0 abandons, its
 * node actor sends the end marker after everything it received. Sets `*bridge` to NULL. */
DEISA_EXPORT void deisa_abandon(deisa_bridge** bridge);

/* ---- Feedback -------------------------------------------------------------------------------- */

/** deisa_get_options.timestep: the newest value, whatever its timestep. */
#define DEISA_LATEST INT64_MIN

/** What is read, and whether the call waits for it. Start from DEISA_GET_OPTIONS_INIT. */
typedef struct deisa_get_options {
  size_t struct_size;
  int64_t timestep;   /**< the value that was set for this timestep, or DEISA_LATEST */
  double wait;        /**< seconds, >= 0: until there is such a value; then DEISA_ERROR_TIMEOUT */
  int32_t collective; /**< 1: collective; bridge 0 reads, and every rank gets the same answer */
  int32_t all;        /**< 1: all kept values, oldest first, as a list of lists [timestep, value] */
  int32_t chunked;    /**< reserved: 1 is DEISA_ERROR_UNSUPPORTED */
} deisa_get_options;

#define DEISA_GET_OPTIONS_INIT {sizeof(deisa_get_options), DEISA_LATEST, 0.0, 0, 0, 0}

/** What a value is. */
typedef enum deisa_value_kind {
  DEISA_VALUE_NULL = 0, /**< None: a value like any other */
  DEISA_VALUE_BOOL,     /**< integer: 0 or 1 */
  DEISA_VALUE_INTEGER,  /**< integer */
  DEISA_VALUE_UNSIGNED, /**< an integer above INT64_MAX: unsigned_integer */
  DEISA_VALUE_NUMBER,   /**< number */
  DEISA_VALUE_STRING, /**< data: UTF-8 with a NUL after its `size` bytes, and perhaps among them */
  DEISA_VALUE_BYTES,  /**< data: `size` bytes */
  DEISA_VALUE_LIST,   /**< items: `size` of them; a tuple is a list */
  DEISA_VALUE_MAP,    /**< keys and items: `size` of each, by ascending bytes of the keys */
  DEISA_VALUE_ARRAY, /**< a NumPy array, or a complex number (ndim 0): dtype, ndim, shape; data: `size`
                           bytes, last dimension fastest, aligned for any dtype */
  DEISA_VALUE_PICKLE /**< any object of Python, after deisa_use_pickle(). data: `size` bytes */
} deisa_value_kind;

/** A value, and those in it. Members that its kind does not name are 0 or NULL. */
typedef struct deisa_value {
  deisa_value_kind kind;
  deisa_dtype dtype;
  int32_t ndim;
  int64_t integer;
  uint64_t unsigned_integer;
  double number;
  size_t size;
  const void* data;
  const int64_t* shape;
  const char* const*
      keys; /**< UTF-8, NUL-terminated; one with a NUL in it is DEISA_ERROR_UNSUPPORTED */
  const struct deisa_value* items;
} deisa_value;

/** Reads the value that the analytics have set for a key.
 *
 * Without options, or with the defaults of `timestep`, `wait` and `all`, it is the newest value, at most
 * feedback_interval old. The rank keeps it, so a loop may read it at each timestep at almost no cost. With
 * `timestep`, `wait` and `collective`, every rank gets the value of exactly that timestep in the same call,
 * so runs can be repeated.
 * @param options may be NULL
 * @param value unchanged unless the status is DEISA_OK. Owned by the library, valid until the next deisa_get()
 *   on this bridge, on any thread.
 * @return DEISA_NOT_FOUND: there is no such value. DEISA_ERROR_TIMEOUT: it did not come within `wait`; the
 *   message names key and timestep. DEISA_ERROR_UNSUPPORTED: lists and maps more than 100 deep. */
DEISA_EXPORT deisa_status deisa_get(deisa_bridge* bridge, const char* key,
                                    const deisa_get_options* options, const deisa_value** value,
                                    deisa_error* error);
/** As deisa_get(), for a number. Set `*value` to a default first. Numbers and bools convert
 * when they fit exactly; another type, also a stored None, is DEISA_ERROR_ARGUMENT. */
DEISA_EXPORT deisa_status deisa_get_double(deisa_bridge* bridge, const char* key,
                                           const deisa_get_options* options, double* value,
                                           deisa_error* error);
/** As deisa_get_double(), for an integer. */
DEISA_EXPORT deisa_status deisa_get_int64(deisa_bridge* bridge, const char* key,
                                          const deisa_get_options* options, int64_t* value,
                                          deisa_error* error);
/** Before deisa_ready(): deisa_get() gives every value as a pickle, DEISA_VALUE_PICKLE, so that it may be any
 * object of Python. For a simulation in Python; the other functions that read feedback fail then. */
DEISA_EXPORT deisa_status deisa_use_pickle(deisa_bridge* bridge, deisa_error* error);
/** Hides the value from the bridges of this node until the analytics set a newer one. A missing key is no
 * error. */
DEISA_EXPORT deisa_status deisa_delete(deisa_bridge* bridge, const char* key, deisa_error* error);

/* ---- Statistics --------------------------------------------------------------------------------- */

/** Counters of a bridge since deisa_open(). Start from DEISA_STATISTICS_INIT. */
typedef struct deisa_statistics {
  size_t struct_size;
  int64_t steps_sent; /**< distinct timesteps handed over */
  int64_t
      steps_skipped; /**< by back-pressure on every rank alike, or here: abandoned, or after a failure */
  int64_t chunks_sent;
  int64_t chunks_stored;
  int64_t chunks_announced; /**< without the end marker */
  int64_t chunks_failed;
  int64_t
      chunks_lost; /**< of chunks_sent: neither announced nor failed when the node actor was lost */
  int64_t chunks_filtered;  /**< not sent, as the settings file says */
  int64_t chunks_in_flight; /**< sent, not yet stored */
  int64_t bytes_sent;
  int64_t bytes_copied;   /**< by this library, on the simulation's time */
  double seconds_blocked; /**< waiting inside send, begin_step, end_step and flush */
  int64_t errors; /**< failures that were returned, given to the error handler, or only counted */
  int64_t errors_earlier; /**< of these, those of earlier calls than the one that reported them */
} deisa_statistics;

#define DEISA_STATISTICS_INIT {sizeof(deisa_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0}

/** Reads the counters. Waits only for another thread's call on the same bridge. After the loss of the node
 * actor, they keep their last values.
 * @param out owned by the caller */
DEISA_EXPORT deisa_status deisa_get_statistics(deisa_bridge* bridge, deisa_statistics* out,
                                               deisa_error* error);

/* ---- Export to Arrow ------------------------------------------------------------------------------ */

/** Shows chunks of the bridge to Arrow, without a copy, in memory that the consumer must not write.
 *
 * With a name: the loan of that array, as one arrow.fixed_shape_tensor: an array of length 1. It also shows
 * what is computed there later. Its contents are undefined when the memory becomes a loan again, that is,
 * from the second send or put of the array after the export. Until it is released, every loan of this
 * array stays mapped.
 *
 * Without: the chunks that were put into the open step so far, as one struct array of length 1 (a record
 * batch): a column for each array, in the order of the puts, named after it. None in a step that is skipped,
 * and under DEISA_DISABLE. The values are those that were put until the next send or put of their array;
 * then they are undefined.
 * @param name or NULL
 * @param array,schema the caller releases both, in any order, on any thread, even after the bridge has ended:
 *   their memory stays mapped until then. A child that is moved out of its parent stays valid. After
 *   an error both are marked released.
 * @return DEISA_ERROR_UNSUPPORTED: a chunk has more than 2^31-1 elements */
DEISA_EXPORT deisa_status deisa_export(deisa_bridge* bridge, const char* name,
                                       struct ArrowArray* array, struct ArrowSchema* schema,
                                       deisa_error* error);
/** The same for contiguous memory of the caller, as one arrow.fixed_shape_tensor. Needs no bridge.
 * @param data owned by the caller; must outlive both structs
 * @param layout copied */
DEISA_EXPORT deisa_status deisa_export_memory(const void* data, const deisa_layout* layout,
                                              struct ArrowArray* array, struct ArrowSchema* schema,
                                              deisa_error* error);

#ifdef __cplusplus
}
#endif

#endif /* DEISA_DEISA_H */
