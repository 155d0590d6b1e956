package io.deisa.bridge;

/**
 * Where the ranks and Ray are.
 *
 * @param worldSize the number of bridges, at least 1
 * @param masterAddress the host of bridge 0, for the rendezvous; null: 127.0.0.1
 * @param masterPort 1 ... 65535, for the rendezvous; -1: 29400
 * @param rayAddress {@code host:port} of Ray; null: {@code RAY_ADDRESS}, else the local cluster
 */
public record SystemMetadata(int worldSize, String masterAddress, int masterPort, String rayAddress) {
    /** The running local cluster, or {@code RAY_ADDRESS}. */
    public SystemMetadata(int worldSize, String masterAddress, int masterPort) {
        this(worldSize, masterAddress, masterPort, null);
    }
}
