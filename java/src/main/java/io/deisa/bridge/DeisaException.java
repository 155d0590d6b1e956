package io.deisa.bridge;

import java.util.OptionalLong;

/** A call failed. The subclass says how; a resource that ran out, an unsupported request or a defect has no subclass. */
public class DeisaException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final Failure failure;

    /** An exception for this failure; {@code cause} may be null. */
    protected DeisaException(Failure failure, Throwable cause) {
        super(failure.message(), cause);
        this.failure = failure;
    }

    /** The exception of the class that fits the failure's status; {@code cause} may be null. */
    public static DeisaException of(Failure failure, Throwable cause) {
        return switch (failure.status()) {
            case ARGUMENT -> new InvalidArgumentException(failure, cause);
            case CONTRACT -> new ContractException(failure, cause);
            case TIMEOUT -> new DeisaTimeoutException(failure, cause);
            case COMMUNICATOR -> new CommunicatorException(failure, cause);
            case CONNECTION -> new ConnectionException(failure, cause);
            default -> new DeisaException(failure, cause);
        };
    }

    /** Everything that is known. */
    public Failure failure() {
        return failure;
    }

    /** What kind of failure. */
    public Status status() {
        return failure.status();
    }

    /** The bridge that failed, or -1. */
    public int rank() {
        return failure.rank();
    }

    /** The array's name, or "". */
    public String array() {
        return failure.array();
    }

    /** The timestep, if the failure belongs to one. */
    public OptionalLong timestep() {
        return failure.timestep();
    }
}
