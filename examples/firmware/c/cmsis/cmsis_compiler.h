/* What CMSIS-DSP's headers take of CMSIS-Core, for gcc. */
#define __ASM __asm
#define __INLINE inline
#define __STATIC_INLINE static inline
#define __STATIC_FORCEINLINE __attribute__((always_inline)) static inline
#define __WEAK __attribute__((weak))
#define __RESTRICT __restrict
#define __CLZ __builtin_clz
