package io.deisa.bridge;

/** How a call ended, as in {@code deisa_status}. Calls return the first five; the others come as a {@link DeisaException}. */
public enum Status {
    OK(0),
    /** Back-pressure leaves this timestep out, on every rank alike. */
    SKIPPED(1),
    /** There is no such value. */
    NOT_FOUND(2),
    /** A failure was given to the error handler; the simulation can go on. */
    REPORTED(3),
    /** Not finished yet. */
    PENDING(4),
    /** An argument or option is invalid. */
    ARGUMENT(-1),
    /** The contract between simulation and analytics is violated. */
    CONTRACT(-2),
    /** A wait ended; the message names whom it waited for. */
    TIMEOUT(-3),
    /** The communicator failed or was broken before. */
    COMMUNICATOR(-4),
    /** Ray, the node actor or its socket cannot be reached. */
    CONNECTION(-5),
    /** Out of memory, descriptors or space in the object store. */
    RESOURCE(-6),
    /** Known, but not supported. */
    UNSUPPORTED(-7),
    /** A defect of the library. */
    INTERNAL(-8);

    private static final Status[] ALL = values(); // values() makes a copy

    private final int code;

    Status(int code) {
        this.code = code;
    }

    /** The value of {@code deisa_status}. */
    public int code() {
        return code;
    }

    /** The status with this value; {@link #INTERNAL} for one that is not known. */
    public static Status of(int code) {
        for (Status status : ALL) {
            if (status.code == code) {
                return status;
            }
        }
        return INTERNAL;
    }
}
