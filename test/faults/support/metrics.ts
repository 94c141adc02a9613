const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/gm;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * Returns a look-up in a `/metrics` page: the sum of the samples with this name and these labels. Without a sample it is
 * 0, because a counter has none before its first event.
 */
export function parseMetrics(text: string) {
  const samples = [...text.matchAll(SAMPLE)].map(([, name, labels = "", value]) => ({
    name,
    labels: new Map([...labels.matchAll(LABEL)].map(([, label, text]) => [label, text])),
    value: Number(value),
  }));
  return (name: string, labels: Record<string, string> = {}): number =>
    samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([k, v]) => sample.labels.get(k) === v))
      .reduce((sum, { value }) => sum + value, 0);
}
