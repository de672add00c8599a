// Start of the rows of x: by token, or compact for kernels that need a constant stride (COMPACT_X).
#ifdef COMPACT_X
uint a_row_start(uint row) { return row * args.dim; }
#else
uint a_row_start(uint row) { return args.token_of_row.at[row] * args.dim; }
#endif
