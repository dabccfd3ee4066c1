// Hands a file to the visitor. value: {url, name}.
watch("value", () => {
  if (!props.value || !props.value.url) return;
  const link = document.createElement("a");
  link.href = props.value.url;
  link.download = props.value.name;
  element.append(link); // so that the page hears of it
  link.click();
  link.remove();
});
