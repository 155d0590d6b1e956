package io.deisa.bridge;

/** A wait ended; the message names whom it waited for. */
public final class DeisaTimeoutException extends DeisaException {
    private static final long serialVersionUID = 1;

    DeisaTimeoutException(Failure failure, Throwable cause) {
        super(failure, cause);
    }
}
