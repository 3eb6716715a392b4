"""A server that somebody else wrote (llama.cpp's) with a model of random weights that nobody trained."""
