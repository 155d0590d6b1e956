package io.deisa.bridge.internal;

import io.deisa.bridge.Failure;
import io.deisa.bridge.Status;
import java.nio.charset.StandardCharsets;
import org.bytedeco.javacpp.Loader;

/** Between {@code deisa_error} and {@link Failure}. */
public final class Errors {
    private static final int MESSAGE_BYTES = 4096;

    private Errors() {}

    /** An empty error in this arena. */
    public static Native.deisa_error allocate(NativeArena arena) {
        return new Native.deisa_error(arena.allocate(Loader.sizeof(Native.deisa_error.class)));
    }

    /** What the error says, with the status that the call returned. */
    public static Failure read(Native.deisa_error error, int status) {
        return new Failure(
                Status.of(status),
                error.rank(),
                error.array().getString(StandardCharsets.UTF_8),
                error.timestep(),
                error.message().getString(StandardCharsets.UTF_8),
                error.earlier() != 0);
    }

    /** Fills in status and message; a message that is too long is cut. {@code error} may be null. */
    static void write(Native.deisa_error error, Status status, String message) {
        if (error == null || error.isNull()) {
            return;
        }
        byte[] utf8 = message.getBytes(StandardCharsets.UTF_8);
        int length = Math.min(utf8.length, MESSAGE_BYTES - 1);
        while (length < utf8.length && length > 0 && (utf8[length] & 0xC0) == 0x80) {
            length--; // not in the middle of a character
        }
        error.status(status.code());
        error.rank(-1);
        error.timestep(Native.DEISA_NO_TIMESTEP);
        error.earlier(0);
        error.array().put(0, (byte) 0);
        error.message().put(utf8, 0, length);
        error.message().put(length, (byte) 0);
    }
}
