package io.deisa.bridge;

import io.deisa.bridge.internal.Callbacks;
import io.deisa.bridge.internal.Deisa;
import io.deisa.bridge.internal.Environment;
import io.deisa.bridge.internal.Errors;
import io.deisa.bridge.internal.Json;
import io.deisa.bridge.internal.NativeArena;
import io.deisa.bridge.internal.VectorExport;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntFunction;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.util.MemoryUtil;
import org.apache.arrow.vector.FieldVector;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;

/**
 * One rank's connection to the analytics.
 *
 * <pre>{@code
 * try (Bridge bridge = Bridge.builder().bridgeId(rank).worldSize(ranks).array(temperature).open()) { // collective
 *   for (long t = 0; t < steps; t++) {
 *     bridge.send("temperature", vector, t);
 *   }
 *   bridge.finish(steps); // collective
 * }
 * }</pre>
 *
 * <p><b>Collective</b> are {@link BridgeBuilder#open()}, {@link #finish} and reading collective {@link Feedback}: every rank
 * calls them, in the same order. Nothing else is; {@link #close()} above all is not.
 *
 * <p><b>Ownership</b>: memory that is sent is borrowed during the call, copied once, and may be reused on return. A bridge
 * holds native memory until finish or close.
 *
 * <p><b>Threads</b>: a bridge may be used from several threads; its calls wait for each other.
 *
 * <p><b>Errors</b>: a violation of the contract is thrown. Any other failure goes to the {@link ErrorHandler}, and the call
 * returns {@link Status#REPORTED}; or it is thrown, with {@link Options#raisingErrors()}. With {@code DEISA_DISABLE=1} in
 * the environment every call is a cheap success.
 *
 * <p>The JVM needs {@code --add-opens=java.base/java.nio=ALL-UNNAMED}, for Arrow.
 */
public final class Bridge implements AutoCloseable {
  // What a call needs to know of one array; bytes is -1 when any number is accepted.
  private record Chunk(long nameAddress, long bytes) {}

  private static final Chunk ANY = new Chunk(0, -1);

  private final int rank;
  private final boolean disabled;
  private final ReentrantLock lock = new ReentrantLock();
  private final NativeArena arena = new NativeArena();
  private final Callbacks callbacks;
  // Reused by every call, under the lock.
  private final LongPointer handle;
  private final Deisa.Error error;
  private final VectorExport export;
  private final Map<String, Chunk> chunks = new LinkedHashMap<>();

  // Beside the lock, so that reading counters does not wait for finish().
  private final Object statusLock = new Object();
  private final Deisa.BridgeStatus counters;
  private final Deisa.Error countersError;
  private BridgeStatus lastStatus = new BridgeStatus(0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0);
  private boolean countersReadable; // guarded by statusLock
  private boolean closed; // guarded by lock

  /** Starts the description of a bridge. */
  public static BridgeBuilder builder() {
    return new BridgeBuilder();
  }

  Bridge(BridgeBuilder builder) {
    rank = builder.bridgeId();
    disabled = Environment.isDisabled();
    handle = new LongPointer(arena.allocate(Long.BYTES));
    error = Errors.allocate(arena);
    countersError = Errors.allocate(arena);
    long size = Loader.sizeof(Deisa.BridgeStatus.class);
    counters = new Deisa.BridgeStatus(arena.allocate(size)).struct_size(size);
    export = new VectorExport(arena);
    callbacks = builder.callbacks();
    try (NativeArena temporary = new NativeArena()) {
      start(builder, temporary);
    } catch (Throwable failure) {
      close();
      throw failure;
    }
  }

  private void start(BridgeBuilder builder, NativeArena temporary) {
    enter();
    try {
      check(Deisa.deisa_open(builder.nativeOptions(callbacks, temporary), handle, error));
      setCountersReadable(true);
      check(Deisa.deisa_define_json(handle.get(), temporary.string(Json.write(builder.arrays())), error));
      builder
          .arrays()
          .forEach((name, of) -> chunks.put(name, new Chunk(arena.string(name).address(), Environment.chunkBytes(of))));
      check(Deisa.deisa_ready(handle.get(), error));
    } finally {
      lock.unlock();
    }
  }

  /**
   * Sends this rank's chunk of an array: a primitive vector of the chunk's elements without nulls, or fixed-size lists of
   * its shape. The vector stays the caller's and may be changed on return.
   *
   * @return {@link Status#OK}, or {@link Status#REPORTED} when a failure went to the error handler
   * @throws ContractException when the array is not known, its chunk has another type or shape, or the timestep is not newer
   *     than the last one
   */
  public Status send(String name, FieldVector vector, long timestep) {
    enter();
    try {
      long address = chunk(name).nameAddress();
      export.fill(vector);
      return check(Deisa.deisa_send_arrow(handle.get(), address, export.array(), export.schema(), timestep, error));
    } finally {
      export.release();
      lock.unlock();
    }
  }

  /** As above, from the readable bytes of a buffer: the chunk's elements in C order, native byte order. */
  public Status send(String name, ArrowBuf buffer, long timestep) {
    return send(name, address(buffer), buffer.readableBytes(), buffer, timestep);
  }

  /**
   * As above, from a direct buffer in native byte order, from its position to its limit, which stay as they are.
   *
   * @throws InvalidArgumentException when the buffer is not direct, or not in native byte order
   */
  public Status send(String name, ByteBuffer buffer, long timestep) {
    return send(name, address(name, buffer), buffer.remaining(), buffer, timestep);
  }

  private Status send(String name, long address, long bytes, Object owner, long timestep) {
    enter();
    try {
      Chunk chunk = sized(name, bytes, timestep);
      return check(Deisa.deisa_send(handle.get(), chunk.nameAddress(), address, timestep, error));
    } finally {
      Reference.reachabilityFence(owner);
      lock.unlock();
    }
  }

  /**
   * Begins a step: all chunks put into it travel in one message. May wait, up to the send time-out.
   *
   * @throws ContractException when a step is open, or the timestep is not newer than the last one
   */
  public Step beginStep(long timestep) {
    enter();
    try {
      Status status = check(Deisa.deisa_begin_step(handle.get(), timestep, error));
      return new Step(this, timestep, status, disabled ? Set.of() : chunks.keySet());
    } finally {
      lock.unlock();
    }
  }

  Status put(String name, FieldVector vector) {
    enter();
    try {
      long address = chunk(name).nameAddress();
      export.fill(vector);
      return check(Deisa.deisa_put_arrow(handle.get(), address, export.array(), export.schema(), error));
    } finally {
      export.release();
      lock.unlock();
    }
  }

  Status put(String name, ArrowBuf buffer, long timestep) {
    return put(name, address(buffer), buffer.readableBytes(), buffer, timestep);
  }

  Status put(String name, ByteBuffer buffer, long timestep) {
    return put(name, address(name, buffer), buffer.remaining(), buffer, timestep);
  }

  private Status put(String name, long address, long bytes, Object owner, long timestep) {
    enter();
    try {
      return check(Deisa.deisa_put(handle.get(), sized(name, bytes, timestep).nameAddress(), address, error));
    } finally {
      Reference.reachabilityFence(owner);
      lock.unlock();
    }
  }

  Status endStep() {
    enter();
    try {
      return check(Deisa.deisa_end_step(handle.get(), error));
    } finally {
      lock.unlock();
    }
  }

  /** Waits until everything that was sent has been announced, up to the send time-out. */
  public Status flush() {
    enter();
    try {
      return check(Deisa.deisa_flush(handle.get(), error));
    } finally {
      lock.unlock();
    }
  }

  /** The values that the analytics set, as this rank sees them now. */
  public Feedback feedback() {
    return new Feedback(this, Deisa.NO_TIMESTEP, 0);
  }

  /** A call that reads or deletes feedback. */
  interface FeedbackCall<T> {
    T run(long bridge, NativeArena temporary, Deisa.Error error, IntFunction<Status> check);
  }

  <T> T feedback(FeedbackCall<T> call) {
    enter();
    try (NativeArena temporary = new NativeArena()) {
      return call.run(handle.get(), temporary, error, this::check);
    } finally {
      lock.unlock();
    }
  }

  /**
   * The counters. During and after {@link #finish} they are those of the moment when it was called; {@link #flush()} before
   * it makes them final.
   */
  public BridgeStatus status() {
    if (lock.isHeldByCurrentThread()) {
      throw reentered();
    }
    return readCounters();
  }

  private BridgeStatus readCounters() {
    synchronized (statusLock) {
      if (countersReadable && Deisa.deisa_get_status(handle.get(), counters, countersError) >= 0) {
        lastStatus =
            new BridgeStatus(
                counters.steps_sent(),
                counters.chunks_sent(),
                counters.chunks_stored(),
                counters.chunks_announced(),
                counters.chunks_failed(),
                counters.steps_dropped(),
                counters.chunks_in_flight(),
                counters.bytes_sent(),
                counters.bytes_copied(),
                counters.seconds_blocked());
      }
      return lastStatus;
    }
  }

  /**
   * Ends the session. Collective: flushes, waits for every rank, sends the end marker with {@code timestep} (at least the
   * newest that was sent), and frees the bridge. Does nothing when the bridge is finished or closed.
   *
   * @throws ContractException when a step is open or the timestep is too old; then nothing was done
   * @throws DeisaException in mode {@link ErrorMode#RAISE}, when something failed; the bridge is freed all the same
   */
  public Status finish(long timestep) {
    enterClosing();
    try {
      if (closed) {
        return Status.OK;
      }
      setCountersReadable(false);
      Status status;
      try {
        status = Status.of(Deisa.deisa_close(handle, timestep, error));
        check(status.code());
      } finally {
        if (handle.get() == 0) {
          free();
        } else {
          setCountersReadable(true);
        }
      }
      return status;
    } finally {
      lock.unlock();
    }
  }

  /**
   * Without {@link #finish}: abandons. Local and immediate, meets nobody: for a rank that leaves early. When bridge 0
   * abandons, its node actor sends the end marker after everything that it received. After finish: nothing.
   */
  @Override
  public void close() {
    enterClosing();
    try {
      if (!closed) {
        setCountersReadable(false);
        Deisa.deisa_abandon(handle);
        free();
      }
    } finally {
      lock.unlock();
    }
  }

  // ---- Inside a call ----------------------------------------------------------------------------

  private void enterClosing() {
    lock.lock();
    if (lock.getHoldCount() > 1) {
      lock.unlock();
      throw reentered();
    }
  }

  private static IllegalStateException reentered() {
    return new IllegalStateException("an error handler or communicator must not call into its own bridge");
  }

  private void enter() {
    enterClosing();
    if (closed) {
      lock.unlock();
      throw contract("", Failure.NO_TIMESTEP, "the bridge is closed: expected calls before finish() and close() only");
    }
  }

  // Turns a negative status into an exception, and throws what a handler threw in this call.
  private Status check(int status) {
    Throwable ofHandler = callbacks.takeHandlerFailure();
    if (status < 0) {
      DeisaException failure = DeisaException.of(Errors.read(error, status), callbacks.communicatorFailure());
      if (ofHandler != null) {
        failure.addSuppressed(ofHandler);
      }
      throw failure;
    }
    if (ofHandler instanceof RuntimeException thrown) {
      throw thrown;
    }
    if (ofHandler instanceof Error thrown) {
      throw thrown;
    }
    return Status.of(status);
  }

  private Chunk chunk(String name) {
    Chunk chunk = chunks.get(name);
    if (chunk != null) {
      return chunk;
    }
    if (disabled) {
      return ANY;
    }
    throw contract(
        String.valueOf(name),
        Failure.NO_TIMESTEP,
        "unknown array '" + name + "': expected one that was defined on this rank: " + new LinkedHashSet<>(chunks.keySet()));
  }

  // The native library cannot see how much memory there is behind an address.
  private Chunk sized(String name, long bytes, long timestep) {
    Chunk chunk = chunk(name);
    if (chunk.bytes() >= 0 && chunk.bytes() != bytes && !disabled) {
      throw contract(
          name, timestep, "array '" + name + "': " + bytes + " bytes were given: a chunk has " + chunk.bytes() + " bytes");
    }
    return chunk;
  }

  private static long address(ArrowBuf buffer) {
    return buffer.memoryAddress() + buffer.readerIndex();
  }

  private long address(String name, ByteBuffer buffer) {
    if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder()) {
      String message =
          "array '" + name + "': expected a direct ByteBuffer in native byte order: ByteBuffer.allocateDirect(bytes)"
              + ".order(ByteOrder.nativeOrder())";
      throw DeisaException.of(new Failure(Status.ARGUMENT, rank, String.valueOf(name), Failure.NO_TIMESTEP, message), null);
    }
    return MemoryUtil.getByteBufferAddress(buffer) + buffer.position();
  }

  DeisaException contract(String array, long timestep, String message) {
    return DeisaException.of(new Failure(Status.CONTRACT, rank, array, timestep, message), null);
  }

  private void setCountersReadable(boolean readable) {
    synchronized (statusLock) {
      if (!readable) {
        readCounters();
      }
      countersReadable = readable;
    }
  }

  private void free() {
    closed = true;
    callbacks.close();
    arena.close();
  }
}
