package io.deisa.bridge;

/** An argument or option is invalid. */
public final class InvalidArgumentException extends DeisaException {
    private static final long serialVersionUID = 1;

    InvalidArgumentException(Failure failure, Throwable cause) {
        super(failure, cause);
    }
}
