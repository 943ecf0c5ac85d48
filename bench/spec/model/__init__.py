"""The model that predicts times: kernels, host, fitted parameters."""
