package io.deisa.examples;

/**
 * The 2-D grid of ranks, as MPI would arrange it: rows first, as square as possible, never wider than high.
 *
 * @param rank this rank
 * @param rowsOfRanks ranks along the first dimension
 * @param columnsOfRanks ranks along the second dimension
 */
record Grid(int rank, int rowsOfRanks, int columnsOfRanks) {
    /** A neighbour that is not there, at an edge of the square. */
    static final int NONE = -1;

    /** A part of 0 ... size: its first element and its length. */
    record Part(int first, int length) {}

    static Grid of(int rank, int ranks) {
        int columns = (int) Math.sqrt(ranks);
        while (ranks % columns != 0) {
            columns--;
        }
        return new Grid(rank, ranks / columns, columns);
    }

    int row() {
        return rank / columnsOfRanks;
    }

    int column() {
        return rank % columnsOfRanks;
    }

    int above() {
        return row() > 0 ? rank - columnsOfRanks : NONE;
    }

    int below() {
        return row() < rowsOfRanks - 1 ? rank + columnsOfRanks : NONE;
    }

    int left() {
        return column() > 0 ? rank - 1 : NONE;
    }

    int right() {
        return column() < columnsOfRanks - 1 ? rank + 1 : NONE;
    }

    /** This rank's rows of a square of size x size. */
    Part rows(int size) {
        return part(size, rowsOfRanks, row());
    }

    /** This rank's columns. */
    Part columns(int size) {
        return part(size, columnsOfRanks, column());
    }

    // Lengths differ by at most one: 10 over 4 is 3, 3, 2, 2.
    private static Part part(int size, int parts, int index) {
        int least = size / parts;
        int longer = size % parts;
        return new Part(index * least + Math.min(index, longer), least + (index < longer ? 1 : 0));
    }
}
