package io.deisa.bridge.control;

/** Why a request failed, in one message. */
final class ControlException extends Exception {
    private static final long serialVersionUID = 1;

    /** The kinds of docs/control.md, in lower case there. */
    enum Kind {
        /** A request is not as it must be. */
        ARGUMENT,
        /** A wait ended. */
        TIMEOUT,
        /** Ray, the task or the actor cannot be reached, or failed. */
        CONNECTION,
        /** A defect of this library. */
        INTERNAL
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
    Kind kind() {
        return kind;
    }
}
