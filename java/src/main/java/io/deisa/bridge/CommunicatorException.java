package io.deisa.bridge;

/** The communicator failed or was broken before. The cause is what the program's communicator threw. */
public final class CommunicatorException extends DeisaException {
    private static final long serialVersionUID = 1;

    CommunicatorException(Failure failure, Throwable cause) {
        super(failure, cause);
    }
}
