package io.deisa.bridge.control;

/** Why a request to Ray failed, in one message. */
public final class ControlException extends Exception {
    private static final long serialVersionUID = 1;

    /** The kinds that the native library tells apart, with their value of {@code deisa_status}. */
    public enum Kind {
        /** A request is not as it must be. */
        ARGUMENT(-1),
        /** A wait ended. */
        TIMEOUT(-3),
        /** Ray, the task or the actor cannot be reached, or failed. */
        CONNECTION(-5),
        /** A defect of this library. */
        INTERNAL(-8);

        private final int status;

        Kind(int status) {
            this.status = status;
        }
    }

    private final Kind kind;

    ControlException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    ControlException(Kind kind, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
    }

    /** What went wrong. */
    public Kind kind() {
        return kind;
    }

    /** The {@code deisa_status} of any throwable. Called by the native library. */
    static int statusOf(Throwable failure) {
        return (failure instanceof ControlException e ? e.kind : Kind.INTERNAL).status;
    }

    /** The message of any throwable. Called by the native library. */
    static String messageOf(Throwable failure) {
        return failure instanceof ControlException e ? e.getMessage() : Failures.describe(failure);
    }
}
