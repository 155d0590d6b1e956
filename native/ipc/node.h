/* node.h - the node actor's end of the socket, for Python's ctypes (libdeisa_node.so).
 *
 * A native thread serves a Unix socket: it accepts ranks, checks every message, maps their slots,
 * acknowledges steps at once, and queues events. Python pulls events with deisa_node_next() and
 * answers. The wire format is in wire.hpp.
 *
 * Thread safety: deisa_node_next() is for one thread at a time; every other function may be called
 * from any thread, at any time before deisa_node_destroy().
 * Status: DEISA_OK, or DEISA_ERROR_CONNECTION when the connection is closed or unknown (harmless:
 * the rank may go at any time), or DEISA_ERROR_ARGUMENT for a call that cannot be right.
 * No function waits for a rank. */
#ifndef DEISA_NODE_H
#define DEISA_NODE_H

#include "deisa/deisa.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DEISA_NODE_NONE 0xFFFFFFFFu /* no array, no slot */

typedef struct deisa_node_receiver deisa_node_receiver;

/* The events of one connection come in the order of its messages: HELLO, DEFINE for each array,
 * READY, and after deisa_node_welcome() the others. BYE or LOST is the last one, always. A
 * connection that closes before its first message makes no event. */
enum deisa_node_event_kind {
  DEISA_NODE_HELLO = 1,  /* payload: JSON text, an object with an integer "bridge_id" >= 0 */
  DEISA_NODE_DEFINE = 2, /* array; payload: JSON text, an object. Once more after welcome, when the
                              dtype of an array is known: to be answered with done */
  DEISA_NODE_READY = 3,  /* to be answered with welcome or refuse */
  DEISA_NODE_STEP = 4,   /* timestep; flags: 1 last of the step; payload: deisa_node_chunk[] */
  DEISA_NODE_PROGRESS = 5, /* timestep */
  DEISA_NODE_GET = 6,      /* timestep or DEISA_NO_TIMESTEP; value: milliseconds to wait; flags: 1
                              all kept values; payload: key; answer with value */
  DEISA_NODE_DELETE = 7,   /* payload: key; answer with done */
  DEISA_NODE_END = 8,      /* timestep; answer with announced or failed, without array */
  DEISA_NODE_BYE = 9,      /* flags: 1 closed, 0 abandoned */
  DEISA_NODE_LOST = 10,    /* payload: text, why the connection ended without BYE */
  DEISA_NODE_ASK = 11      /* timestep; flags: 1 the rank waits; answer with gate */
};

/* A chunk in a slot that the rank does not touch until stored or failed frees it. The memory can
 * be read until deisa_node_release(), also after the rank has died. */
typedef struct deisa_node_chunk {
  uint32_t array;
  uint32_t slot;
  uint64_t address;
  uint64_t bytes;  /* of the chunk */
  uint64_t shared; /* not 0: so many bytes at `address` are shared, the chunk is a part of them */
} deisa_node_chunk;

typedef struct deisa_node_event {
  uint32_t kind;
  uint32_t flags;
  uint64_t connection; /* 1, 2, ...; never used twice */
  int32_t bridge_id;   /* -1 before HELLO */
  uint32_t array;      /* or DEISA_NODE_NONE */
  uint64_t sequence;
  int64_t timestep; /* or DEISA_NO_TIMESTEP */
  uint64_t value;   /* of GET */
  uint64_t count;   /* chunks of STEP; else bytes of the text, which is UTF-8 without a NUL at its
                       end */
  const void* payload; /* the receiver's, valid until the next deisa_node_next() */
} deisa_node_event;

typedef struct deisa_node_counters {
  uint64_t connections;     /* open now */
  uint64_t accepted;        /* since the start */
  uint64_t refused;         /* closed because of what they sent, or before they could send */
  uint64_t mapped_bytes;    /* of slots, until released */
  uint64_t received_chunks; /* acknowledged */
  uint64_t received_bytes;
  uint64_t queued_events; /* not yet pulled */
} deisa_node_counters;

/* Listens at `path` (mode 0600; at most 107 bytes). A socket file there that nobody listens at is
 * replaced. On an error `message` (may be NULL) says why, and `*out` is NULL. */
DEISA_EXPORT int32_t deisa_node_open(const char* path, deisa_node_receiver** out, char* message,
                                     size_t message_size);

/* Ends the thread, removes the socket file and closes every connection. Slots stay mapped and
 * queued events can still be pulled. A second call does nothing. */
DEISA_EXPORT void deisa_node_stop(deisa_node_receiver* receiver);

/* Stops, unmaps every slot and frees the receiver. No other call may be running. NULL is fine. */
DEISA_EXPORT void deisa_node_destroy(deisa_node_receiver* receiver);

/* Waits up to `timeout_ms` (-1: until there is one) for the next event. DEISA_OK: `*event` is
 * filled in. DEISA_PENDING: none came. DEISA_ERROR_CONNECTION: stopped, and none is left. */
DEISA_EXPORT int32_t deisa_node_next(deisa_node_receiver* receiver, deisa_node_event* event,
                                     int32_t timeout_ms);

/* Answers. `sequence` is that of the event. Texts are `bytes` long, UTF-8; what does not fit into
 * one message is cut. */
DEISA_EXPORT int32_t deisa_node_welcome(deisa_node_receiver* receiver, uint64_t connection,
                                        uint64_t sequence);
/* Says why and closes the connection; LOST follows. */
DEISA_EXPORT int32_t deisa_node_refuse(deisa_node_receiver* receiver, uint64_t connection,
                                       int32_t status, const char* text, size_t bytes);
/* The chunk is an object in the store: frees the slot. The memory must not be read afterwards. */
DEISA_EXPORT int32_t deisa_node_stored(deisa_node_receiver* receiver, uint64_t connection,
                                       uint64_t sequence, uint32_t array, uint32_t slot);
DEISA_EXPORT int32_t deisa_node_announced(deisa_node_receiver* receiver, uint64_t connection,
                                          uint64_t sequence, uint32_t array);
/* `slot` is freed unless it is DEISA_NODE_NONE. `status` is negative. */
DEISA_EXPORT int32_t deisa_node_failed(deisa_node_receiver* receiver, uint64_t connection,
                                       uint64_t sequence, uint32_t array, uint32_t slot,
                                       int32_t status, int64_t timestep, const char* text,
                                       size_t bytes);
/* `status` DEISA_OK with MessagePack (copied), DEISA_NOT_FOUND, or negative with a text. `kept` 1:
 * deisa_node_changed() will tell when it is out of date. */
DEISA_EXPORT int32_t deisa_node_value(deisa_node_receiver* receiver, uint64_t connection,
                                      uint64_t sequence, int32_t status, int32_t kept,
                                      const void* data, size_t bytes);
/* What has become of a value that the rank keeps: DEISA_OK with the new one, DEISA_NOT_FOUND, or
 * DEISA_PENDING: the rank is to ask for it, as it is when the new one does not fit into a message. */
DEISA_EXPORT int32_t deisa_node_changed(deisa_node_receiver* receiver, uint64_t connection,
                                        int32_t status, const char* key, size_t key_bytes,
                                        const void* data, size_t bytes);
/* `status` DEISA_OK, or negative with a text. */
DEISA_EXPORT int32_t deisa_node_done(deisa_node_receiver* receiver, uint64_t connection,
                                     uint64_t sequence, int32_t status, const char* text,
                                     size_t bytes);
/* A failure that belongs to no request; with DEISA_OK, something to be said on stderr. */
DEISA_EXPORT int32_t deisa_node_notice(deisa_node_receiver* receiver, uint64_t connection,
                                       int32_t status, const char* text, size_t bytes);
/* The same, and nothing that this rank sends will be analysed any more, for this reason. */
DEISA_EXPORT int32_t deisa_node_final_notice(deisa_node_receiver* receiver, uint64_t connection,
                                             int32_t status, const char* text, size_t bytes);

/* Tells the rank which timesteps it may begin: any (`open` 1), or none after `timestep` (`open` 0;
 * DEISA_NO_TIMESTEP: none) with a text that says why. `sequence`: of the ASK that this answers, or
 * 0.
 */
DEISA_EXPORT int32_t deisa_node_gate(deisa_node_receiver* receiver, uint64_t connection,
                                     uint64_t sequence, int32_t open, int64_t timestep,
                                     const char* text, size_t bytes);

/* Records what happens in `file`, as DEISA_TRACE does; `process` names this process in it. Once,
 * and before ranks connect. DEISA_ERROR_ARGUMENT: the file cannot be opened. */
DEISA_EXPORT int32_t deisa_node_trace(deisa_node_receiver* receiver, const char* file,
                                      const char* process);
/* Adds a span from `begin` to `end` in nanoseconds of CLOCK_MONOTONIC. `array` may be "". `row`: the
 * number of the thread that it is drawn with, or 0 for the calling one. DEISA_ERROR_ARGUMENT without
 * deisa_node_trace(). */
DEISA_EXPORT int32_t deisa_node_span(deisa_node_receiver* receiver, const char* name, int32_t rank,
                                     const char* array, int64_t timestep, int64_t begin,
                                     int64_t end, int32_t row);

/* Closes the connection; LOST follows. */
DEISA_EXPORT int32_t deisa_node_close(deisa_node_receiver* receiver, uint64_t connection);

/* Unmaps the slots and forgets the connection. Allowed once its BYE or LOST has been pulled and
 * nothing reads its chunks any more; DEISA_ERROR_ARGUMENT before. */
DEISA_EXPORT int32_t deisa_node_release(deisa_node_receiver* receiver, uint64_t connection);

DEISA_EXPORT void deisa_node_get_counters(deisa_node_receiver* receiver,
                                          deisa_node_counters* counters);

#ifdef __cplusplus
}
#endif

#endif /* DEISA_NODE_H */
