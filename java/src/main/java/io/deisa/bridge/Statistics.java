package io.deisa.bridge;

/**
 * Counters of one bridge since it was opened.
 *
 * @param stepsSent distinct timesteps handed over
 * @param stepsSkipped by back-pressure on every rank alike, or here: abandoned, or after a failure
 * @param chunksSent chunks handed over
 * @param chunksStored of them, objects in Ray's object store
 * @param chunksAnnounced of them, known to the head actor
 * @param chunksFailed of them, lost or refused
 * @param chunksLost of those that were sent, neither announced nor failed when the node actor was lost
 * @param chunksFiltered chunks that were not sent, as the settings file says
 * @param chunksInFlight sent, not yet stored
 * @param bytesSent bytes handed over
 * @param bytesCopied bytes copied by the library, on the simulation's time
 * @param secondsBlocked time waited inside send, beginStep, end and flush
 * @param errors failures that were thrown, given to the error handler, or only counted
 * @param errorsEarlier of these, those of earlier calls than the one that reported them
 */
public record Statistics(
        long stepsSent,
        long stepsSkipped,
        long chunksSent,
        long chunksStored,
        long chunksAnnounced,
        long chunksFailed,
        long chunksLost,
        long chunksFiltered,
        long chunksInFlight,
        long bytesSent,
        long bytesCopied,
        double secondsBlocked,
        long errors,
        long errorsEarlier) {}
