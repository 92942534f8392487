/* Stands in for the NVIDIA driver's libnvidia-ml.so.1: two GPUs, of which the second can't tell its power. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };
static char first, second;

static int is(void *device, void *which) { return device == which; }

int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == NOT_SUPPORTED ? "Not Supported" : "an error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  if (index > 1) return INVALID_ARGUMENT;
  *device = index ? &second : &first;
  return OK;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length) {
  snprintf(name, length, "Stub GPU %d", is(device, &second));
  return OK;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
  snprintf(uuid, length, "GPU-%d", is(device, &second));
  return OK;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
  rates[0] = is(device, &second) ? 0 : 75;
  rates[1] = 50;
  return OK;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *info) {
  (void)device;
  info[0] = 16ull << 30; /* total, free, used */
  info[1] = 12ull << 30;
  info[2] = 4ull << 30;
  return OK;
}

int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius) {
  (void)device;
  *celsius = 61 + sensor;
  return OK;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
  *milliwatts = 123500;
  return is(device, &second) ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) {
  *milliwatts = 300000;
  return is(device, &second) ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetClockInfo(void *device, unsigned clock, unsigned *megahertz) {
  (void)device;
  *megahertz = clock == 1 ? 1500 : 2600;
  return OK;
}

typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } Process;

/* On the first GPU: the processes named in STUB_NVML_PIDS_FILE, and one of somebody else. */
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, Process *processes) {
  Process found[16] = {{1, 1ull << 30, -1u, -1u}};
  unsigned n = is(device, &second) ? 0 : 1;
  const char *path = getenv("STUB_NVML_PIDS_FILE");
  FILE *file = n && path ? fopen(path, "r") : NULL;
  unsigned pid;
  while (file && n < 16 && fscanf(file, "%u", &pid) == 1) found[n++] = (Process){pid, 256ull << 20, -1u, -1u};
  if (file) fclose(file);
  unsigned room = *count;
  *count = n;
  if (room < n) return INSUFFICIENT_SIZE;
  memcpy(processes, found, n * sizeof *processes);
  return OK;
}
