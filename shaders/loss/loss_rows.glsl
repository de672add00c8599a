// Where the rows of x lie: by token, or without gaps where a kernel needs regular ones (COMPACT_X).
#ifdef COMPACT_X
uint a_row_start(uint row) { return row * args.dim; }
#else
uint a_row_start(uint row) { return args.rows.at[row] * args.dim; }
#endif
