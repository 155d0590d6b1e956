package io.deisa.bridge;

import io.deisa.bridge.internal.Native;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;

/**
 * Completes the futures of a bridge's asynchronous sends. One daemon thread polls all of them; it is started by the first
 * one, sleeps while there is none, and ends with the bridge.
 */
final class Completions {
    // Between two polls, while a request is in progress; doubled after each round that found nothing.
    private static final long SHORTEST_PAUSE = 50_000; // ns
    private static final long LONGEST_PAUSE = 2_000_000;

    private record Pending(long request, CompletableFuture<Status> future) {}

    // How a request ended: status or failure is null. Overdue: it did not end, the wait for it did.
    private record Outcome(Status status, Throwable failure, boolean isOverdue) {}

    private record Done(CompletableFuture<Status> future, Outcome outcome) {
        void complete() {
            if (outcome.failure() != null) {
                future.completeExceptionally(outcome.failure());
            } else {
                future.complete(outcome.status());
            }
        }
    }

    private final Session session;
    // Guarded by this. The session may be entered while this is locked, but not the other way round.
    private final ArrayDeque<Pending> pending = new ArrayDeque<>();
    private boolean started;
    private boolean ended;

    Completions(Session session) {
        this.session = session;
    }

    /** The future of a request that is in progress. Outside of a call. */
    CompletableFuture<Status> add(long request) {
        CompletableFuture<Status> future = new CompletableFuture<>();
        synchronized (this) {
            if (ended) {
                future.completeExceptionally(abandoned());
                return future;
            }
            pending.add(new Pending(request, future));
            if (!started) {
                started = true;
                Thread thread = new Thread(this::serve, "deisa-completions");
                thread.setDaemon(true);
                thread.start();
            }
            notifyAll();
        }
        return future;
    }

    private void serve() {
        long pause = SHORTEST_PAUSE;
        while (true) {
            List<Done> done = new ArrayList<>();
            synchronized (this) {
                while (pending.isEmpty() && !ended) {
                    try {
                        wait();
                    } catch (InterruptedException nobodyAsksForThat) {
                        // Goes on: the futures must be completed.
                    }
                }
                if (ended) {
                    return;
                }
                ask(done);
            }
            done.forEach(Done::complete);
            pause = done.isEmpty() ? Math.min(2 * pause, LONGEST_PAUSE) : SHORTEST_PAUSE;
            if (done.isEmpty()) {
                Thread.interrupted(); // else the pause would be none
                LockSupport.parkNanos(pause);
            }
        }
    }

    // Takes out what is finished.
    private void ask(List<Done> done) {
        for (Iterator<Pending> each = pending.iterator(); each.hasNext(); ) {
            Pending one = each.next();
            Outcome outcome = outcome(one.request(), false);
            if (outcome != null) {
                each.remove();
                done.add(new Done(one.future(), outcome));
            }
        }
    }

    // Null while the request is in progress; never null if waits.
    private Outcome outcome(long number, boolean waits) {
        try {
            session.enter();
            try {
                session.request().put(number);
                long handle = session.handle();
                int status = waits
                        ? Native.deisa_wait(handle, session.request(), session.error())
                        : Native.deisa_test(handle, session.request(), session.error());
                if (status == Status.PENDING.code()) {
                    return null;
                }
                boolean isOverdue = session.request().get() != 0;
                try {
                    return new Outcome(session.check(status), null, isOverdue);
                } catch (Throwable failure) {
                    return new Outcome(null, failure, isOverdue);
                }
            } finally {
                session.exit();
            }
        } catch (RuntimeException ended) {
            return new Outcome(null, ended, false);
        }
    }

    /** Waits for all requests in progress, up to the send timeout. Outside of a call. */
    void settle() {
        List<Done> done = new ArrayList<>();
        synchronized (this) {
            boolean waits = true;
            while (!pending.isEmpty()) {
                Pending one = pending.remove();
                Outcome outcome = outcome(one.request(), waits);
                if (outcome == null) {
                    outcome = new Outcome(null, overdue(), true);
                }
                waits = waits && !outcome.isOverdue(); // the others have had the same time
                done.add(new Done(one.future(), outcome));
            }
        }
        done.forEach(Done::complete);
    }

    private DeisaException overdue() {
        return session.failure(
                Status.TIMEOUT,
                "",
                Failure.NO_TIMESTEP,
                "an asynchronous send was not acknowledged within the send timeout");
    }

    /** Before the bridge is closed or abandoned: completes what is finished, and fails what is not. Outside of a call. */
    void end() {
        List<Done> done = new ArrayList<>();
        boolean canAsk = !session.isClosed();
        synchronized (this) {
            ended = true;
            notifyAll();
            if (canAsk) {
                ask(done);
            }
            while (!pending.isEmpty()) {
                done.add(new Done(pending.remove().future(), new Outcome(null, abandoned(), false)));
            }
        }
        done.forEach(Done::complete);
    }

    private DeisaException abandoned() {
        return session.failure(
                Status.CONNECTION,
                "",
                Failure.NO_TIMESTEP,
                "the bridge was closed before this asynchronous send was acknowledged: call close(timestep) or flush() first");
    }
}
