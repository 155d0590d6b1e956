package io.deisa.bridge;

import io.deisa.bridge.internal.Callbacks;
import io.deisa.bridge.internal.Environment;
import io.deisa.bridge.internal.Errors;
import io.deisa.bridge.internal.Json;
import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import io.deisa.bridge.internal.SentMemory;
import io.deisa.bridge.internal.SourceMemory;
import io.deisa.bridge.internal.VectorExport;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;

/**
 * The native bridge behind a {@link Bridge}, and the memory that its calls reuse. A call goes between {@link
 * #enter} and {@link #exit}, one at a time; unless stated otherwise, its members are used there only.
 */
final class Session {
    /** What a call needs to know of one array: the name as a C string, and the memory to send; null: any. */
    record Chunk(long nameAddress, SentMemory memory) {
        /** Bytes of the chunk itself. */
        long bytes() {
            return memory.chunkBytes();
        }
    }

    private static final Chunk ANY = new Chunk(0, null);

    private final int rank;
    private final boolean disabled;
    private final ReentrantLock lock = new ReentrantLock();
    private final NativeArena arena = new NativeArena();
    private final Callbacks callbacks;
    private final LongPointer handle;
    private final Native.deisa_error error;
    private final VectorExport export;
    private final LongPointer request;
    private final LongPointer buffer;
    private final SourceMemory source;
    private final Map<String, Chunk> chunks = new LinkedHashMap<>();
    private boolean closed;
    private long steps; // that were begun

    // Beside the lock, so that reading counters does not wait for close(timestep).
    private final Object countersLock = new Object();
    private final Native.deisa_statistics counters;
    private final Native.deisa_error countersError;
    private Statistics lastStatistics = new Statistics(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0);
    private boolean countersReadable; // guarded by countersLock

    /** Collective: opens the bridge and makes it ready. */
    Session(BridgeBuilder builder) {
        rank = builder.bridgeId();
        disabled = Environment.isDisabled();
        handle = new LongPointer(arena.allocate(Long.BYTES));
        request = new LongPointer(arena.allocate(Long.BYTES));
        buffer = new LongPointer(arena.allocate(Long.BYTES));
        source = new SourceMemory(arena);
        error = Errors.allocate(arena);
        countersError = Errors.allocate(arena);
        long size = Loader.sizeof(Native.deisa_statistics.class);
        counters = new Native.deisa_statistics(arena.allocate(size)).struct_size(size);
        export = new VectorExport(arena);
        callbacks = builder.callbacks();
        try (NativeArena temporary = new NativeArena()) {
            start(builder, temporary);
        } catch (Throwable failure) {
            abandon();
            throw failure;
        }
    }

    private void start(BridgeBuilder builder, NativeArena temporary) {
        enter();
        try {
            List<Failure> problems = new ArrayList<>();
            for (String problem : builder.problems()) {
                problems.add(new Failure(Status.ARGUMENT, rank, "", Failure.NO_TIMESTEP, problem));
            }
            keepProblem(
                    problems, Native.deisa_open(builder.nativeOptions(callbacks, temporary), handle.address(), error));
            if (handle() == 0) {
                // A bridge with other options reports the problems of the arrays, so that all are in one error.
                keepProblem(problems, Native.deisa_open(null, handle.address(), error));
            }
            if (handle() != 0) {
                String arrays = Json.write(builder.arrays());
                keepProblem(problems, Native.deisa_define_json(handle(), temporary.string(arrays), error));
            }
            throwAll(problems);
            setCountersReadable(true);
            builder.arrays().forEach((name, of) -> chunks.put(name, new Chunk(arena.string(name), SentMemory.of(of))));
            check(Native.deisa_ready(handle(), error));
        } finally {
            exit();
        }
    }

    // An invalid argument is kept; any other failure is thrown.
    private void keepProblem(List<Failure> problems, int status) {
        if (status == Status.ARGUMENT.code()) {
            problems.add(Errors.read(error, status));
        } else {
            check(status);
        }
    }

    private void throwAll(List<Failure> problems) {
        if (problems.isEmpty()) {
            return;
        }
        Failure first = problems.get(0);
        String message = problems.stream().map(Failure::message).distinct().collect(Collectors.joining("\n"));
        Failure all = new Failure(first.status(), first.rank(), first.array(), first.timestepOrNone(), message);
        throw DeisaException.of(all, callbacks.communicatorFailure());
    }

    // ---- Around a call ----------------------------------------------------------------------------

    /** Begins a call; throws when the bridge has ended, or inside another call of this thread. */
    void enter() {
        enterClosing();
        if (closed) {
            exit();
            throw contract("", Failure.NO_TIMESTEP, "the bridge is closed: expected calls before close only");
        }
    }

    private void enterClosing() {
        lock.lock();
        if (lock.getHoldCount() > 1) {
            exit();
            throw reentered();
        }
    }

    void exit() {
        lock.unlock();
    }

    private static IllegalStateException reentered() {
        return new IllegalStateException("an error handler or communicator must not call into its own bridge");
    }

    // ---- Within a call ----------------------------------------------------------------------------

    /** The address of the native bridge. */
    long handle() {
        return handle.get();
    }

    /** Where the native library says what went wrong. */
    Native.deisa_error error() {
        return error;
    }

    /** The two structs that a vector goes through. */
    VectorExport export() {
        return export;
    }

    /** A deisa_request. */
    LongPointer request() {
        return request;
    }

    /** A deisa_source. */
    SourceMemory source() {
        return source;
    }

    /** The address of a loan, a void* in C. */
    LongPointer buffer() {
        return buffer;
    }

    /** Turns a negative status into an exception, and throws what a handler threw in this call. */
    Status check(int status) {
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

    /** The array with this name; any array when disabled. */
    Chunk chunk(String name) {
        Chunk chunk = chunks.get(name);
        if (chunk != null) {
            return chunk;
        }
        if (disabled) {
            return ANY;
        }
        throw unknown(name);
    }

    /** As above, but an array that is not known is refused also when disabled. */
    Chunk knownChunk(String name) {
        Chunk chunk = chunks.get(name);
        if (chunk == null || chunk.memory() == null) {
            throw unknown(name);
        }
        return chunk;
    }

    /** The array with this name, for memory of {@code bytes} bytes: the native library cannot see how much there is. */
    Chunk sized(String name, long bytes, long timestep) {
        Chunk chunk = chunk(name);
        String problem =
                chunk.memory() == null || disabled ? null : chunk.memory().problem(bytes);
        if (problem != null) {
            throw contract(name, timestep, "array '" + name + "': " + problem);
        }
        return chunk;
    }

    private DeisaException unknown(String name) {
        return contract(
                String.valueOf(name),
                Failure.NO_TIMESTEP,
                "unknown array '" + name + "': expected one that was defined on this rank: "
                        + new LinkedHashSet<>(chunks.keySet()));
    }

    // ---- Anywhere ---------------------------------------------------------------------------------

    /** Whether DEISA_DISABLE is set. */
    boolean isDisabled() {
        return disabled;
    }

    DeisaException contract(String array, long timestep, String message) {
        return failure(Status.CONTRACT, array, timestep, message);
    }

    DeisaException failure(Status status, String array, long timestep, String message) {
        return DeisaException.of(new Failure(status, rank, array, timestep, message), null);
    }

    /** The counters; during and after {@link #close} those of the moment when it was called. */
    Statistics statistics() {
        requireOutside();
        return readCounters();
    }

    private Statistics readCounters() {
        synchronized (countersLock) {
            if (countersReadable && Native.deisa_get_statistics(handle(), counters, countersError) >= 0) {
                lastStatistics = new Statistics(
                        counters.steps_sent(),
                        counters.steps_skipped(),
                        counters.chunks_sent(),
                        counters.chunks_stored(),
                        counters.chunks_announced(),
                        counters.chunks_failed(),
                        counters.chunks_lost(),
                        counters.chunks_filtered(),
                        counters.chunks_in_flight(),
                        counters.bytes_sent(),
                        counters.bytes_copied(),
                        counters.seconds_blocked(),
                        counters.errors(),
                        counters.errors_earlier());
            }
            return lastStatistics;
        }
    }

    private void setCountersReadable(boolean readable) {
        synchronized (countersLock) {
            if (!readable) {
                readCounters();
            }
            countersReadable = readable;
        }
    }

    // ---- The end ----------------------------------------------------------------------------------

    /** deisa_close: collective; nothing when it has ended. */
    Status close(long timestep) {
        enterClosing();
        try {
            if (closed) {
                return Status.OK;
            }
            setCountersReadable(false);
            try {
                return check(Native.deisa_close(handle.address(), timestep, error));
            } finally {
                if (handle() == 0) {
                    free();
                } else {
                    setCountersReadable(true);
                }
            }
        } finally {
            exit();
        }
    }

    /** The number of a step that has just been begun. */
    long countStep() {
        return ++steps;
    }

    /** deisa_abandon_step, unless another step was begun after this one, or the bridge has ended. */
    void abandonStep(long number) {
        enterClosing();
        try {
            if (!closed && number == steps) {
                Native.deisa_abandon_step(handle(), error);
                callbacks.takeHandlerFailure();
            }
        } finally {
            exit();
        }
    }

    /** deisa_abandon; nothing when it has ended. */
    void abandon() {
        enterClosing();
        try {
            if (!closed) {
                setCountersReadable(false);
                Native.deisa_abandon(handle.address());
                free();
            }
        } finally {
            exit();
        }
    }

    /** Throws inside a call of this thread, that is in an error handler or communicator. */
    void requireOutside() {
        if (lock.isHeldByCurrentThread()) {
            throw reentered();
        }
    }

    /** Whether the native bridge has been freed. Outside of a call. */
    boolean isClosed() {
        requireOutside();
        lock.lock();
        try {
            return closed;
        } finally {
            lock.unlock();
        }
    }

    private void free() {
        closed = true;
        callbacks.close();
        arena.close();
    }
}
