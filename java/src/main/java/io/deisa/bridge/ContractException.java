package io.deisa.bridge;

/** The contract between simulation and analytics is violated. */
public final class ContractException extends DeisaException {
    private static final long serialVersionUID = 1;

    ContractException(Failure failure, Throwable cause) {
        super(failure, cause);
    }
}
