export function compose() {}
