package io.deisa.bridge;

/** Ray, the node actor or its socket cannot be reached. */
public final class ConnectionException extends DeisaException {
    private static final long serialVersionUID = 1;

    ConnectionException(Failure failure, Throwable cause) {
        super(failure, cause);
    }
}
