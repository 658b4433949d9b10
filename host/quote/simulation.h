/*
 * The simulated platform: what the software quoting enclave (software.c) and those who certify it (simulation_pki.c)
 * agree on. Names say that it is simulation; numbers are as a platform's that is up to date.
 */
#ifndef COFRE_HOST_QUOTE_SIMULATION_H
#define COFRE_HOST_QUOTE_SIMULATION_H

#include <stdint.h>

#include "attest/report.h"

/* In softsgx's state folder. All keys and certificates are made together, once for each machine. */
#define SIMULATION_FOLDER "simulation"
#define SIMULATION_ATTESTATION_KEY "attestation.key" /* the P-256 scalar, 32 bytes big-endian */
/* What follows the signature in each quote: the attestation key (64), the quoting enclave's report (384), its signature
 * by the PCK key (64), authentication data, certification data. */
#define SIMULATION_CERTIFICATION "certification"

#define SIMULATION_QE_MRENCLAVE "Cofre software quoting enclave.." /* 32 bytes */
#define SIMULATION_QE_MRSIGNER "Cofre simulation: not Intel SGX."  /* 32 bytes */
#define SIMULATION_QE_ID "COFRE SIMULATION"                        /* 16 bytes */
#define SIMULATION_QE_ATTRIBUTES (ATTEST_SGX_INIT | ATTEST_SGX_MODE64 | ATTEST_SGX_PROVISION_KEY)
#define SIMULATION_QE_XFRM 3
#define SIMULATION_QE_PRODUCT_ID 1
#define SIMULATION_QE_SVN 1
#define SIMULATION_PCE_SVN 1
/* CPUSVN and TCB components 1 and 2 of softsgx; all others are 0. */
#define SIMULATION_CPUSVN                                                                                              \
    {                                                                                                                  \
        1, 1                                                                                                           \
    }
#define SIMULATION_FMSPC "c0f2e0000000"

#endif
