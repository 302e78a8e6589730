import { assert, must } from "../base/assert.ts";
import { inverse, multiply, power } from "./galois.ts";

/** Rows of elements of GF(2^8). */
export type Matrix = readonly (readonly number[])[];

/**
 * The generator matrix, (k + m) rows of k: shard i is row i times the column of data shards. It is the
 * Vandermonde matrix with element row^column, times the inverse of its own upper square. That turns the upper
 * square into the identity (data shards are the data), and any k rows stay invertible, because any k rows of a
 * Vandermonde matrix with distinct bases are.
 */
export function generatorMatrix(dataShards: number, parityShards: number): Matrix {
  const vandermonde = Array.from({ length: dataShards + parityShards }, (_, row) =>
    Array.from({ length: dataShards }, (_, column) => power(row, column)),
  );
  return product(vandermonde, invert(vandermonde.slice(0, dataShards)));
}

export function product(left: Matrix, right: Matrix): Matrix {
  const columns = must(right[0], "first row").length;
  return left.map((row) =>
    Array.from({ length: columns }, (_, column) =>
      row.reduce((sum, element, i) => sum ^ multiply(element, at(right, i, column)), 0),
    ),
  );
}

/** Gauss-Jordan. The matrix must be square and regular. */
export function invert(matrix: Matrix): Matrix {
  const size = matrix.length;
  const work = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let pivot = 0; pivot < size; pivot++) {
    const below = work.findIndex((row, i) => i >= pivot && row[pivot] !== 0);
    assert(below >= 0, "the matrix can be inverted");
    const chosen = must(work[below], "pivot row");
    work[below] = must(work[pivot], "row");
    const scale = inverse(must(chosen[pivot], "pivot"));
    const pivotRow = chosen.map((element) => multiply(element, scale));
    work[pivot] = pivotRow;
    for (let i = 0; i < size; i++) {
      if (i === pivot) continue;
      const row = must(work[i], "row");
      const factor = must(row[pivot], "element");
      work[i] = row.map((element, j) => element ^ multiply(factor, must(pivotRow[j], "element")));
    }
  }
  return work.map((row) => row.slice(size));
}

function at(matrix: Matrix, row: number, column: number): number {
  return must(matrix[row]?.[column], "matrix element");
}
