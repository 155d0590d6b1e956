package io.deisa.bridge;

/** Receives failures in mode {@link ErrorMode#REPORT}. */
@FunctionalInterface
public interface ErrorHandler {
    /**
     * Called on the thread that made the call, before the call returns. Must not call into the same bridge: that throws an
     * IllegalStateException. An exception that leaves this method is thrown by the call that failed, once the native library
     * has returned.
     */
    void failed(Failure failure);
}
