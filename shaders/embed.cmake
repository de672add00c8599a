# Writes a SPIR-V module (MODULE, little-endian) as numbers with commas (WORDS), for #include into an array.
file(READ ${MODULE} bytes HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1,\n" words "${bytes}")
file(WRITE ${WORDS} "${words}")
